package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/tunnel"
)

// Summary is what one wants to know first.
type Summary struct {
	Peers int `json:"peers"`
	Up    int `json:"up"` // of them
	// In and Out are what passed and was dropped in the intervals of Traffic.
	In  tunnel.IntervalTraffic `json:"in"`
	Out tunnel.IntervalTraffic `json:"out"`
	// Top is the reason for which most packets were dropped, and TopPackets how many; no
	// Top, if none was.
	Top        filter.Reason `json:"top,omitzero"`
	TopPackets uint64        `json:"topPackets,omitempty"`
	Text       string        `json:"text"` // all of it in a few sentences
}

// Finding is something that stands out.
type Finding struct {
	Bad  bool   `json:"bad"` // else it is worth knowing
	Text string `json:"text"`
}

// dropsOf are packets that were dropped for a reason.
type dropsOf struct {
	Reason  filter.Reason
	In, Out uint64
}

func (d dropsOf) total() uint64 { return d.In + d.Out }

// drops returns what was dropped by reason, the most first.
func (s *Summary) drops() (all []dropsOf) {
	for _, r := range filter.Reasons() {
		if d := (dropsOf{r, s.In.Drops[r], s.Out.Drops[r]}); d.total() > 0 {
			all = append(all, d)
		}
	}
	slices.SortStableFunc(all, func(a, b dropsOf) int { return cmp.Compare(b.total(), a.total()) })
	return all
}

// summarize sets Summary and Findings.
func (r *Report) summarize() {
	s := Summary{Peers: len(r.Status.Peers)}
	for _, p := range r.Status.Peers {
		if p.Up {
			s.Up++
		}
	}
	for _, i := range r.Traffic.Intervals {
		s.In, s.Out = s.In.Plus(i.In), s.Out.Plus(i.Out)
	}
	if drops := s.drops(); len(drops) > 0 {
		s.Top, s.TopPackets = drops[0].Reason, drops[0].total()
	}
	s.Text = r.sentences(&s)
	r.Summary = s
	r.findings()
}

func (r *Report) sentences(s *Summary) string {
	text := fmt.Sprintf("%d of %s are up. ", s.Up, ui.Counted(s.Peers, "peer", "peers"))
	if s.Peers == 1 {
		text = "The peer is " + map[bool]string{true: "up", false: "down"}[s.Up == 1] + ". "
	}
	if len(r.Traffic.Intervals) == 0 {
		return text + "What passed over time is not known."
	}
	dropped := s.In.Dropped() + s.Out.Dropped()
	text += fmt.Sprintf("Within %s, %s came in and %s went out. ", ui.Age(r.known()), size(s.In.Bytes), size(s.Out.Bytes))
	switch {
	case dropped == 0:
		return text + "Nothing was dropped."
	case dropped == s.TopPackets:
		return text + fmt.Sprintf("%s dropped, for %v: %s", packetsWere(dropped), s.Top, lowerFirst(s.Top.Explain()))
	}
	return text + fmt.Sprintf("%s dropped, %d %% of them for %v: %s", packetsWere(dropped), 100*s.TopPackets/dropped, s.Top, lowerFirst(s.Top.Explain()))
}

// known returns how long the time is of which the traffic is known.
func (r *Report) known() time.Duration {
	from := r.Since
	if r.Traffic.Truncated {
		from = r.Traffic.Intervals[0].From
	}
	return r.Created.Sub(from).Round(time.Second)
}

func packetsWere(n uint64) string {
	if n == 1 {
		return "1 packet was"
	}
	return ui.Number(n) + " packets were"
}

// lowerFirst returns a sentence as it stands behind a colon.
func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func size(n uint64) string { return ui.Size(min(n, 1<<62)).Short() }

// findings says what stands out.
func (r *Report) findings() {
	r.policyFindings()
	r.peerFindings()
	s := r.Status
	for i := range r.Refused[:min(len(r.Refused), 3)] {
		f := &r.Refused[i]
		n, what := packetsOf(f), f.String()
		if f.More {
			what = "flows of " + newFlowView(f).Src + " that are not kept apart, as of a port scan"
		}
		r.find(f.Reason == filter.ReasonNoRule, "%s: %s refused, %v: %s", what, packetsWere(n), f.Reason, f.WhyRefused())
	}
	for _, w := range s.Warnings {
		r.find(true, "%s", w)
	}
	if n := s.Unaccounted.In + s.Unaccounted.Out; n > 0 {
		r.find(true, "%s not accounted for since the tunnel's start: this is a fault of tstun's", packetsWere(n))
	}
	if r.Traffic.Truncated {
		r.find(false, "Traffic is remembered for a day: what is said of it begins at that.")
	}
	for _, m := range r.Missing {
		r.find(false, "The %s could not be had: %s", m.Part, m.Error)
	}
	if r.Note != "" {
		r.find(false, "%s", r.Note)
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(fmt.Sprint(b.Bad), fmt.Sprint(a.Bad)) })
}

func (r *Report) find(bad bool, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{bad, fmt.Sprintf(format, args...)})
}

func (r *Report) policyFindings() {
	p := &r.Status.Policy
	if p.Error != "" {
		r.find(true, "The policy file was refused, and what was in force before still is: %s", p.Error)
	}
	if !p.TrialUntil.IsZero() {
		r.find(true, "The policy in force is only tried: at its end the one before comes back.")
	}
	if p.File == "" {
		r.find(false, "There is no policy: all that the allowed IPs admit is accepted.")
	}
	counts := make(map[tunnel.PolicyChangeKind]int)
	for i, c := range r.History.Changes {
		if i+r.History.Lost > 0 && !c.Time.Before(r.Since) {
			counts[c.Kind]++
		}
	}
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%s %s", strings.Replace(string(kind), "-", " ", 1), times(counts[kind])))
	}
	if len(words) > 0 {
		r.find(false, "Policies were %s: see the history.", strings.Join(words, ", "))
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return ui.Counted(n, "time", "times")
}

// maxNamedPeers is how many peers that are down are named at once.
const maxNamedPeers = 5

func (r *Report) peerFindings() {
	var down []string
	for i := range r.Status.Peers {
		p := &r.Status.Peers[i]
		if p.Up {
			continue
		}
		last := "no handshake yet"
		if !p.Handshake.IsZero() {
			last = "last handshake " + ui.Age(r.Created.Sub(p.Handshake)) + " ago"
		}
		down = append(down, fmt.Sprintf("%s (%s)", peerName(p), last))
	}
	if len(down) == 0 {
		return
	}
	text := strings.Join(down[:min(len(down), maxNamedPeers)], ", ")
	if more := len(down) - maxNamedPeers; more > 0 {
		text += fmt.Sprintf(" and %s more", ui.Number(uint64(more)))
	}
	r.find(true, "Down: %s.", text)
}

// peerName returns what a peer is called, or the beginning of its key.
func peerName(p *tunnel.PeerStatus) string {
	if p.Name == "" {
		return p.PublicKey.String()[:keyDigits] + "…"
	}
	return cut(p.Name, maxName)
}

// keyDigits is how much of a public key is shown: enough to tell two apart.
const keyDigits = 12
