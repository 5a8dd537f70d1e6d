package cli

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"tstun/capture"
	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/packet"
	"tstun/policy"
)

// recordedFlow is a flow of a capture.
type recordedFlow struct {
	policy.Flow
	outbound      bool // the host's first packet is the first of the flow
	packets       int
	bytes         uint64
	last          time.Time
	passed        int              // packets that passed as they were recorded
	broken, freed int              // packets that passed and would not, and the other way
	first         int              // the number of the first of these
	reason        filter.Reason    // of the first that would not
	peer          string           // as recorded, or ""
	direction     filter.Direction // of the first of these
}

// recordedKey is the two sides of a flow, with their ports.
type recordedKey struct {
	proto      ipproto.Proto
	host, peer netip.AddrPort
}

// recorded is the flows of a capture under a policy.
type recorded struct {
	flows  []*recordedFlow // in the order of their first packets
	byKey  map[recordedKey]*recordedFlow
	parsed packet.Parsed
	result capture.Result
}

// replay plays a capture through the filter of a policy.
func replay(env ui.Environment, file string, p *policy.Policy) (*recorded, error) {
	in := env.Stdin
	if file != stdinFile {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return replayFrom(in, p)
}

func replayFrom(in io.Reader, p *policy.Policy) (*recorded, error) {
	f, err := filter.New(p.Config())
	if err != nil {
		return nil, err
	}
	r := &recorded{byKey: make(map[recordedKey]*recordedFlow)}
	r.result, err = capture.Replay(in, f, capture.ReplayOptions{Each: r.add})
	return r, err
}

// add adds a packet. What has no flow of its own, as ICMP errors and all fragments but
// the first, is left out.
func (r *recorded) add(x *capture.Replayed) error {
	r.parsed.Decode(x.Packet)
	p := &r.parsed
	if !x.Judged || p.IPProto == ipproto.Unknown || p.IPProto == ipproto.Fragment || p.IsError() {
		return nil
	}
	host, peer := p.Src, p.Dst
	if x.Inbound {
		host, peer = peer, host
	}
	f := r.flow(recordedKey{p.IPProto, host, peer}, !x.Inbound)
	f.packets++
	f.bytes += uint64(x.Length)
	f.last = x.Time
	if f.peer == "" {
		f.peer = x.Note.Peer
	}
	drops := x.Verdict.Response.IsDrop()
	passed := x.Comment == "" || !x.Note.Verdict.Response.IsDrop()
	if passed {
		f.passed++
	}
	if passed != drops {
		return nil
	}
	if f.broken+f.freed == 0 {
		f.first, f.reason = x.Number, x.Verdict.Reason
		f.direction = filter.Outbound
		if x.Inbound {
			f.direction = filter.Inbound
		}
	}
	if passed {
		f.broken++
	} else {
		f.freed++
	}
	return nil
}

// flow returns the flow of the key, which begins if it is not known.
func (r *recorded) flow(k recordedKey, outbound bool) *recordedFlow {
	if !k.proto.HasPorts() {
		k.host, k.peer = netip.AddrPortFrom(k.host.Addr(), 0), netip.AddrPortFrom(k.peer.Addr(), 0)
	}
	f := r.byKey[k]
	if f == nil {
		f = &recordedFlow{Flow: policy.Flow{Proto: k.proto, Src: k.peer.Addr(), Dst: k.host}, outbound: outbound}
		if outbound {
			f.Flow = policy.Flow{Proto: k.proto, Src: k.host.Addr(), Dst: k.peer}
		}
		r.byKey[k] = f
		r.flows = append(r.flows, f)
	}
	return f
}

// seen returns the flows as they were recorded.
func (r *recorded) seen() []policy.Seen {
	var all []policy.Seen
	for _, f := range r.flows {
		all = append(all, policy.Seen{
			Flow: f.Flow, Outbound: f.outbound, Refused: f.passed == 0, Peer: f.peer, Packets: uint64(f.packets), Bytes: f.bytes, Last: f.last,
		})
	}
	return all
}

// changed returns the flows that fare otherwise, those that differ in the source's port
// alone as one. Of broken ones and those let in, each is a list of its own.
func (r *recorded) changed() (broken, letIn []changedFlow) {
	type key struct {
		policy.Flow
		broken bool
	}
	at := make(map[key]*changedFlow)
	var order []*changedFlow
	for _, f := range r.flows {
		if f.broken+f.freed == 0 {
			continue
		}
		k := key{f.Flow, f.broken > 0}
		c := at[k]
		if c == nil {
			c = &changedFlow{namedFlow: namedFlow{Flow: f.Flow}, FirstPacket: f.first, Direction: f.direction, Outbound: f.outbound, broken: k.broken}
			if k.broken {
				c.Reason = f.reason.String()
			}
			at[k] = c
			order = append(order, c)
		}
		c.Flows++
		c.Packets += f.broken
		if !k.broken {
			c.Packets += f.freed
		}
	}
	for _, c := range order {
		if c.broken {
			broken = append(broken, *c)
		} else {
			letIn = append(letIn, *c)
		}
	}
	return broken, letIn
}

// changedFlow is flows of a capture that fare otherwise under a policy, in JSON.
type changedFlow struct {
	namedFlow
	Outbound    bool             `json:"outbound,omitempty"` // the host began them
	Flows       int              `json:"flows"`              // from how many ports of the source
	Packets     int              `json:"packets"`            // that fare otherwise
	FirstPacket int              `json:"firstPacket"`        // its number in the capture
	Direction   filter.Direction `json:"direction"`          // of that packet
	Reason      string           `json:"reason,omitempty"`   // of broken ones: why that would be dropped
	Verdict     *explained       `json:"verdict,omitempty"`  // of those that peers began
	broken      bool
}

// againstResult is the JSON document of check --against.
type againstResult struct {
	ui.Report
	Packets uint64        `json:"packets"`
	Flows   int           `json:"flows"`
	Broken  []changedFlow `json:"broken"`
	LetIn   []changedFlow `json:"letIn"`
	// Evicted are flows for which there was no room; which these are is chance.
	Evicted uint64 `json:"evicted,omitempty"`
}

// runAgainst judges a capture by a policy.
func runAgainst(env ui.Environment, doc *document, file, pcap, host string) error {
	result := againstResult{Broken: []changedFlow{}, LetIn: []changedFlow{}}
	doc.body = &result
	policies, err := readPolicies(env, []string{file}, host)
	if err != nil {
		return err
	}
	p := policies[0]
	if err := testsHold(fileName(file), p); err != nil {
		return err
	}
	r, err := replay(env, pcap, p)
	if err != nil {
		return ui.BadInput("want a capture of tstun's, or one of raw IP with directions", fmt.Errorf("%s: %w", fileName(pcap), err))
	}
	if err := result.fill(p, r); err != nil {
		return err
	}
	if !doc.wanted {
		if err := printAgainst(env, fileName(file), fileName(pcap), &result); err != nil {
			return err
		}
	}
	if n := len(result.Broken); n > 0 {
		return ui.Failf("", "%s of %s", ui.Counted(n, "flow breaks", "flows break"), ui.Number(uint64(result.Flows)))
	}
	return nil
}

func (a *againstResult) fill(p *policy.Policy, r *recorded) error {
	f, err := filter.New(p.Config())
	if err != nil {
		return ui.Failf("", "%w", err)
	}
	for _, v := range []capture.Verdicts{r.result.In, r.result.Out} {
		a.Packets += v.Passed
		for _, n := range v.Drops {
			a.Packets += n
		}
	}
	a.Flows, a.Evicted = len(r.flows), r.result.Evicted
	broken, letIn := r.changed()
	a.Broken, a.LetIn = append(a.Broken, broken...), append(a.LetIn, letIn...)
	names := p.Names()
	for _, all := range [][]changedFlow{a.Broken, a.LetIn} {
		for i := range all {
			c := &all[i]
			c.namedFlow = newNamedFlow(names, c.Flow)
			if !c.Outbound {
				x := explain(p, c.Flow, p.Explain(f, filter.Inbound, c.Flow))
				c.Verdict = &x
			}
		}
	}
	return nil
}

func printAgainst(env ui.Environment, file, pcap string, r *againstResult) error {
	p := ui.NewPainter(env)
	show := func(word string, hue ui.Colour, all []changedFlow) {
		for i, c := range all {
			if i == maxPlanned {
				p.Printf("%s and %s\n", p.Paint(hue, word), ui.Counted(len(all)-i, "more flow", "more flows"))
				return
			}
			p.Printf("%s %v\n   %s, the first is packet %s\n", p.Paint(hue, word), c.namedFlow, ui.Counted(c.Packets, "packet", "packets"), ui.Number(uint64(c.FirstPacket)))
			if c.Verdict != nil {
				printExplained(p, *c.Verdict)
			} else if c.Reason != "" {
				p.Printf("   drop for reason %q\n", c.Reason)
			}
		}
	}
	show("breaks", ui.Red, r.Broken)
	show("let in", ui.Green, r.LetIn)
	if r.Evicted > 0 {
		p.Printf("note: there was no room for %s: the result is about the others\n", ui.Counted(int(r.Evicted), "flow", "flows"))
	}
	word := p.Paint(ui.Green, "ok  ")
	if len(r.Broken) > 0 {
		word = p.Paint(ui.Red, "FAIL")
	}
	p.Printf("%s %s: %s of %s, %s\n", word, file, ui.Counted(int(r.Packets), "packet", "packets"), pcap, ui.Counted(r.Flows, "flow", "flows"))
	return p.Err()
}

// runRecord prints a patch that pins flows as tests of a policy file: those of a
// capture, or of others.
func runRecord(ctx context.Context, env ui.Environment, doc *document, flows *seenFlows, file, pcap, host string) error {
	result := suggestResult{Rules: []string{}, Removed: []ruleAt{}, Left: []leftFlow{}}
	doc.body = &result
	text, p, err := flows.textOrAsk(ctx, env, file, host)
	if err != nil {
		return err
	}
	var seen []policy.Seen
	if pcap != "" {
		r, err := replay(env, pcap, p)
		if err != nil {
			return ui.BadInput("want a capture of tstun's, or one of raw IP with directions", fmt.Errorf("%s: %w", fileName(pcap), err))
		}
		seen = r.seen()
	} else if seen, err = flows.read(ctx, env, false); err != nil {
		return err
	}
	s, err := policy.Record(text.File, []byte(text.Text), text.Host, seen)
	if err != nil {
		return ui.Failf("tstun check FILE runs the tests", "%w", err)
	}
	result.fill(text.File, p, s)
	if doc.wanted {
		return nil
	}
	return printRecord(env, &result)
}

// printRecord prints the patch behind lines that patch passes over.
func printRecord(env ui.Environment, r *suggestResult) error {
	p := ui.NewPainter(env)
	printLeft(p, "is no test", r.Left)
	if r.Patch == "" {
		p.Printf("# nothing to add: the tests have all flows\n")
	} else {
		p.Printf("# %s\n", ui.Counted(r.Tests, "test is added", "tests are added"))
	}
	printPatch(p, r.Patch)
	return p.Err()
}
