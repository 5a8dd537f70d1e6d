package report

import (
	"fmt"
	"html/template"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/tunnel"
)

// page is what the template shows: texts.
type page struct {
	CSP                            string
	Style                          template.CSS // ours, and whole
	Name, Period, Lead, Made, Zone string
	Version, Started               string
	Anonymized                     bool
	Tiles                          []tile
	Findings                       list[Finding]
	Chart                          *chart
	Drops                          []dropRow
	Refused                        list[refusedRow]
	Flows                          list[flowRow]
	Peers                          list[peerRow]
	Policy                         []fact
	Matrix                         *matrixView
	History                        list[changeRow]
	Events                         list[eventRow]
	RefusedCaption, FlowsCaption   string
	Text, TextCut                  string
	zone                           *time.Location
	now                            time.Time
}

// list is the beginning of a list, and what it leaves out.
type list[T any] struct {
	Rows []T
	More string // such as "and 3 more", or empty
}

// listOf shows the first of many, of which there are total.
func listOf[T, R any](all []T, limit, total int, show func(*T) R) (l list[R]) {
	for i := range all[:min(len(all), limit)] {
		l.Rows = append(l.Rows, show(&all[i]))
	}
	if more := total - len(l.Rows); more > 0 {
		l.More = "… and " + ui.Number(uint64(more)) + " more"
	}
	return l
}

type tile struct{ Class, Label, Value, More string }

type dropRow struct{ Reason, Meaning, In, Out, Share string }

type flowView struct{ Proto, Src, SrcAddr, Dst, DstAddr, Way string }

type refusedRow struct {
	Flow                       flowView
	Reason, Why, Packets, Last string
}

type flowRow struct {
	Flow                              flowView
	In, Out, Began, Lasted, State, By string
}

type peerRow struct{ Name, Class, State, Handshake, Endpoint, Received, Sent string }

type fact struct {
	Name, Value string
	Mono        bool
}

type changeRow struct{ Time, Class, Kind, Text, Serial, Rules, File, Hash string }

type eventRow struct{ Time, Class, Kind, Text string }

func (r *Report) page(zone *time.Location) *page {
	p := &page{
		CSP: policyOfPage(), Style: template.CSS(style), Name: cut(r.Tunnel, maxName), Version: r.Version, Anonymized: r.Anonymized,
		Lead: r.Summary.Text, zone: zone, now: r.Created, Chart: newChart(&r.Traffic, r.Created, zone),
	}
	if p.Name == "" {
		p.Name = "tunnel"
	}
	p.Made, p.Started = p.full(r.Created), p.full(r.Status.Started)
	p.Zone = "Times are " + r.Created.In(zone).Format("MST (-07:00)") + "."
	p.Period = fmt.Sprintf("%s to %s (%s)", p.full(r.Since), p.full(r.Created), ui.Age(r.Created.Sub(r.Since)))
	p.tiles(r)
	p.Findings = listOf(r.Findings, maxFindings, len(r.Findings), func(f *Finding) Finding { return Finding{f.Bad, cut(f.Text, maxFinding)} })
	p.refusals(r)
	p.connections(r)
	p.peers(r)
	p.policy(r)
	p.events(r)
	return p
}

// full writes a time with its day.
func (p *page) full(t time.Time) string { return t.In(p.zone).Format("2 Jan 2006, 15:04:05") }

// at writes a time, with its day if that is another.
func (p *page) at(t time.Time) string {
	t = t.In(p.zone)
	if t.Format(time.DateOnly) == p.now.In(p.zone).Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2 Jan 15:04:05")
}

func (p *page) tiles(r *Report) {
	s := &r.Summary
	peers := tile{"good", "Peers up", fmt.Sprintf("%d of %d", s.Up, s.Peers), "all of them"}
	switch down := s.Peers - s.Up; {
	case s.Peers == 0:
		peers = tile{"", "Peers up", "0", "there are none"}
	case down > 0:
		peers.Class, peers.More = "bad", ui.Number(uint64(down))+" down"
	}
	dropped := tile{"good", "Packets dropped", "0", "none"}
	if n := s.In.Dropped() + s.Out.Dropped(); n > 0 {
		dropped = tile{"bad", "Packets dropped", ui.Number(n), fmt.Sprintf("most for %v", s.Top)}
	}
	traffic := func(class, text string, t *tunnel.IntervalTraffic) tile {
		return tile{class, text, size(t.Bytes), packets(t.Packets)}
	}
	p.Tiles = []tile{peers, traffic("in", "In, from peers", &s.In), traffic("out", "Out, to peers", &s.Out), dropped}
	if p.Chart == nil {
		for i := range p.Tiles[1:] {
			p.Tiles[i+1].Class, p.Tiles[i+1].Value, p.Tiles[i+1].More = "", "–", "not known"
		}
	}
}

func packets(n uint64) string {
	if n == 1 {
		return "1 packet"
	}
	return ui.Number(n) + " packets"
}

func (p *page) refusals(r *Report) {
	drops := r.Summary.drops()
	sum := r.Summary.In.Dropped() + r.Summary.Out.Dropped()
	for _, d := range drops {
		share := strconv.FormatFloat(100*float64(d.total())/float64(sum), 'f', 1, 64)
		p.Drops = append(p.Drops, dropRow{d.Reason.String(), d.Reason.Explain(), ui.Number(d.In), ui.Number(d.Out), share})
	}
	p.Refused = listOf(r.Refused, maxRefusedRows, r.Total.Refused, func(f *tunnel.Flow) refusedRow {
		return refusedRow{newFlowView(f), f.Reason.String(), cut(f.WhyRefused(), 2*maxWords), ui.Number(packetsOf(f)), p.at(f.Last)}
	})
	p.RefusedCaption = ui.Counted(r.Total.Refused, "refused flow", "refused flows") + ", those with the most packets first"
	if r.Total.Refused > len(r.Refused) {
		p.RefusedCaption = fmt.Sprintf("%s; of the latest %d, those with the most packets first", ui.Counted(r.Total.Refused, "refused flow", "refused flows"), len(r.Refused))
	}
}

func (p *page) connections(r *Report) {
	p.Flows = listOf(r.Flows, maxFlowRows, r.Total.Passed, func(f *tunnel.Flow) flowRow {
		end := f.Last
		if f.Kind == tunnel.FlowOpen {
			end = p.now
		}
		return flowRow{newFlowView(f), size(f.In.Bytes), size(f.Out.Bytes), p.at(f.First), ui.Age(end.Sub(f.First)), f.State(), letInBy(f)}
	})
	p.FlowsCaption = fmt.Sprintf("%s that are open or ended in that time, with %s in and %s out; those with the most bytes first",
		ui.Counted(r.Total.Passed, "connection", "connections"), size(r.Total.In.Bytes), size(r.Total.Out.Bytes))
	if r.Total.Passed == 0 {
		p.FlowsCaption = "There was none, as far as it is known."
	}
}

// letInBy says what let a flow in: the rule, or the host that began it.
func letInBy(f *tunnel.Flow) string {
	switch {
	case f.Rule != nil:
		return cut(fmt.Sprintf("%s:%d", filepath.Base(f.Rule.File), f.Rule.Line), maxName)
	case f.Initiator == filter.InitiatorHost:
		return "this host began it"
	}
	return "–"
}

func newFlowView(f *tunnel.Flow) flowView {
	side := func(s tunnel.FlowSide, port uint16) (name, addr string) {
		name = s.Name
		if name == "" {
			name = s.Addr.String()
		} else {
			addr = s.Addr.String()
		}
		if name = cut(name, maxName); port == 0 {
			return name, addr
		}
		if s.Name == "" && s.Addr.Is6() {
			name = "[" + name + "]"
		}
		return fmt.Sprintf("%s:%d", name, port), addr
	}
	v := flowView{Proto: f.Proto.String()}
	v.Src, v.SrcAddr = side(f.Src, 0)
	if f.More {
		v.Proto, v.Way = "more from", "not kept apart, as of a port scan"
	} else {
		v.Dst, v.DstAddr = side(f.Dst, f.Dst.Port)
	}
	if f.Initiator != filter.InitiatorPeer && !f.More {
		v.Way = "outbound"
	}
	return v
}

func (p *page) peers(r *Report) {
	peers := slices.Clone(r.Status.Peers)
	slices.SortStableFunc(peers, func(a, b tunnel.PeerStatus) int {
		switch {
		case a.Up == b.Up:
			return 0
		case b.Up:
			return -1
		}
		return 1
	})
	p.Peers = listOf(peers, maxPeerRows, len(peers), func(s *tunnel.PeerStatus) peerRow {
		row := peerRow{peerName(s), "bad", "down", "never", "–", size(s.Received), size(s.Sent)}
		if s.Up {
			row.Class, row.State = "good", "up"
		}
		if !s.Handshake.IsZero() {
			row.Handshake = ui.Age(p.now.Sub(s.Handshake)) + " ago"
		}
		if s.Endpoint.IsValid() {
			row.Endpoint = s.Endpoint.String()
		}
		return row
	})
}

func (p *page) policy(r *Report) {
	is := &r.Status.Policy
	if is.File == "" {
		p.Policy = []fact{{"in force", "none: all that the allowed IPs admit is accepted", false}}
	} else {
		p.Policy = []fact{{"file", cut(is.File, 2*maxWords), false}, {"rules", ui.Number(uint64(is.Rules)), false}, {"in force since", p.full(is.Loaded), false}, {"SHA-256", is.Hash, true}}
	}
	if !is.TrialUntil.IsZero() {
		p.Policy = append(p.Policy, fact{"tried until", p.full(is.TrialUntil), false})
	}
	if a := &r.Status.Audit; a.File != "" {
		p.Policy = append(p.Policy, fact{"tried beside it, and drops nothing", cut(a.File, 2*maxWords), false})
	}
	p.Matrix = newMatrixView(r.Matrix)
	changes := slices.Clone(r.History.Changes)
	slices.Reverse(changes)
	p.History = listOf(changes, maxHistoryRows, len(changes)+r.History.Lost, p.change)
	text, bytes, lines := cutLines(r.Policy.Text, maxText)
	if p.Text = text; bytes > 0 {
		p.TextCut = fmt.Sprintf("… and %s more, in %s", ui.Size(bytes), ui.Counted(lines, "line", "lines"))
	}
}

func (p *page) change(c *tunnel.PolicyChange) changeRow {
	row := changeRow{p.at(c.Time), "plain", string(c.Kind), cut(c.Text, 2*maxWords), "–", "–", cut(filepath.Base(c.File), maxName), c.Hash[:min(12, len(c.Hash))]}
	switch c.Kind {
	case tunnel.PolicyChangeRefused, tunnel.PolicyChangeRolledBack:
		row.Class = "bad"
	case tunnel.PolicyChangeLoaded, tunnel.PolicyChangeConfirmed:
		row.Class = "good"
	}
	if c.Serial != 0 {
		row.Serial, row.Rules = strconv.FormatUint(uint64(c.Serial), 10), ui.Number(uint64(c.Rules))
	}
	if c.File == "" {
		row.File = "none"
	}
	if !c.Until.IsZero() {
		row.Text = "until " + p.at(c.Until)
	}
	return row
}

func (p *page) events(r *Report) {
	events := slices.Clone(r.Events)
	slices.Reverse(events)
	p.Events = listOf(events, maxEventRows, len(events), func(e *tunnel.Event) eventRow {
		row := eventRow{p.at(e.Time), "plain", string(e.Kind), cut(e.String(), 2*maxWords)}
		switch e.Kind {
		case tunnel.PeerUp:
			row.Class = "good"
		case tunnel.PeerDown, tunnel.ConfigRefused, tunnel.AuditRefused, tunnel.LookupFailed, tunnel.HookFailed:
			row.Class = "bad"
		}
		return row
	})
}

// matrixView is the matrix as a table, or where that would be too large as a list.
type matrixView struct {
	Head []string // of the table; nil: none
	Rows []matrixRow
	List list[cellRow]
}

type matrixRow struct {
	Src   string
	Cells [][]string
}

type cellRow struct{ Src, Dst, What string }

func newMatrixView(m *Matrix) *matrixView {
	switch {
	case m == nil:
		return nil
	case len(m.Cells) == 0:
		return &matrixView{}
	case len(m.Srcs) > maxMatrixRows || len(m.Dsts) > maxMatrixCols:
		return &matrixView{List: listOf(m.Cells, maxCellRows, len(m.Cells), func(c *Cell) cellRow {
			what := ""
			for i, a := range c.Access {
				what += []string{"", "; "}[min(i, 1)] + a
			}
			return cellRow{cut(m.Srcs[c.Src], maxWords), cut(m.Dsts[c.Dst], maxWords), cut(what, maxWords)}
		})}
	}
	v := &matrixView{}
	for _, d := range m.Dsts {
		v.Head = append(v.Head, cut(d, maxWords))
	}
	for _, s := range m.Srcs {
		v.Rows = append(v.Rows, matrixRow{cut(s, maxWords), make([][]string, len(m.Dsts))})
	}
	for _, c := range m.Cells {
		at := &v.Rows[c.Src].Cells[c.Dst]
		for i, a := range c.Access {
			if i == maxAccess {
				*at = append(*at, fmt.Sprintf("… and %d more", len(c.Access)-i))
				break
			}
			*at = append(*at, cut(a, maxWords))
		}
	}
	return v
}

// maxAccess is how many lines a cell of the matrix has at most.
const maxAccess = 6
