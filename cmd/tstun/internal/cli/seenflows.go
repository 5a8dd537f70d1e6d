package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/ui"
	"tstun/ipproto"
	"tstun/policy"
)

// seenFlows is where a command has flows from: a file, or the tunnel that runs.
type seenFlows struct {
	asked
	file   string
	filter string // an expression, for what is asked
	since  string // how long ago, or a time; empty: those that are open, or were refused a moment ago
}

// addFlowsFlags adds the flags that say which flows. since is the default of --since.
func addFlowsFlags(cmd *cobra.Command, env ui.Environment, s *seenFlows, since string) {
	cmd.Flags().StringVar(&s.file, "flows", "", "take the flows of `FILE`, the lines of tstun flows --json, or - for standard input")
	cmd.Flags().StringVar(&s.filter, "filter", "", "ask for flows alone for which the `EXPRESSION` is true")
	cmd.Flags().StringVar(&s.since, "since", since, "ask also for flows that ended or were refused since `TIME`, or so long ago")
	s.addFlags(cmd, env)
}

// flowLine is what is read of a line about a flow.
type flowLine struct {
	Total     *struct{}     `json:"total"` // of the last line, which is about no flow
	Kind      string        `json:"kind"`
	Proto     ipproto.Proto `json:"proto"`
	Src       flowLineSide  `json:"src"`
	Dst       flowLineSide  `json:"dst"`
	More      bool          `json:"more"`
	Initiator string        `json:"initiator"`
	Peer      string        `json:"peer"`
	PeerName  string        `json:"peerName"`
	In        flowLineSum   `json:"in"`
	Out       flowLineSum   `json:"out"`
	Last      time.Time     `json:"last"`
	Reason    string        `json:"reason"`
	Revoked   bool          `json:"revoked"`
}

type flowLineSide struct {
	Addr netip.Addr `json:"addr"`
	Port uint16     `json:"port"`
}

type flowLineSum struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// seen returns the flow of a line, as tunnel.Seen does. ok is false if a policy has nothing
// to say of it.
func (l *flowLine) seen() (s policy.Seen, ok bool) {
	s = policy.Seen{
		Flow:    policy.Flow{Proto: l.Proto, Src: l.Src.Addr, Dst: netip.AddrPortFrom(l.Dst.Addr, l.Dst.Port)},
		Refused: l.Kind == "refused" || l.Kind == "forgotten",
		Peer:    l.PeerName,
		Packets: l.In.Packets + l.Out.Packets, Bytes: l.In.Bytes + l.Out.Bytes, Last: l.Last,
	}
	if s.Peer == "" {
		s.Peer = l.Peer
	}
	if !s.Proto.HasPorts() {
		s.Dst = netip.AddrPortFrom(l.Dst.Addr, 0)
	}
	return s, l.Initiator == "peer" && !l.More && !l.Revoked && l.Src.Addr.IsValid() && l.Dst.Addr.IsValid() && (!s.Refused || l.Reason == "no-rule" || l.Reason == "revoked")
}

// readSeen reads flows, a JSON document a line. name is the file's in errors.
func readSeen(name string, r io.Reader) (all []policy.Seen, err error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxFlowLine)
	for n := 1; in.Scan(); n++ {
		text := bytes.TrimSpace(in.Bytes())
		if len(text) == 0 {
			continue
		}
		var l flowLine
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		if l.Total != nil {
			continue
		}
		if l.Kind == "" {
			return nil, fmt.Errorf("%s:%d: no flow: want a line of tstun flows --json", name, n)
		}
		if s, ok := l.seen(); ok {
			all = append(all, s)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return all, nil
}

// maxFlowLine is how long a line about a flow may be, in bytes.
const maxFlowLine = 1 << 20

// read returns the flows, of which alone those that were refused are needed if refused.
func (s *seenFlows) read(ctx context.Context, env ui.Environment, refused bool) ([]policy.Seen, error) {
	if s.file == "" {
		return s.ask(ctx, env, refused)
	}
	if s.filter != "" {
		return nil, ui.BadInput("tstun flows --json FILTER writes such a file", errors.New("--filter with --flows: want the lines of the flows that count"))
	}
	in := env.Stdin
	if s.file != stdinFile {
		f, err := os.Open(s.file)
		if err != nil {
			return nil, ui.BadInput(wantFlows, err)
		}
		defer f.Close()
		in = f
	}
	all, err := readSeen(fileName(s.file), in)
	if err != nil {
		return nil, ui.BadInput(wantFlows, err)
	}
	return all, nil
}

const wantFlows = "want the lines of tstun flows --json"

// ask is read of the tunnel that runs.
func (s *seenFlows) ask(ctx context.Context, env ui.Environment, refused bool) ([]policy.Seen, error) {
	c, q, err := s.query(env)
	if err != nil {
		return nil, err
	}
	q.Dropped = refused
	ctx, cancel := context.WithTimeout(ctx, flowsTimeout)
	defer cancel()
	all, err := c.Seen(ctx, q)
	if err != nil {
		return nil, askFailure(err)
	}
	return all, nil
}

// query returns who answers, and what is to be asked.
func (s *seenFlows) query(env ui.Environment) (c *control.Client, q control.FlowsQuery, err error) {
	q.Filter = s.filter
	if s.since != "" {
		if q.Since, err = control.ParseSince(s.since, time.Now()); err != nil {
			return nil, q, ui.BadInput("", err)
		}
	}
	c, err = s.client(env)
	return c, q, err
}

// flowsTimeout bounds how long a tunnel may take to tell all its flows.
const flowsTimeout = time.Minute
