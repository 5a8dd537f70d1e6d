package demo

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/ipproto"
)

// expectedDrop is a packet that a node's filter is expected to drop.
type expectedDrop struct {
	node        *node
	explanation filter.Explanation
	before      uint64 // drops for this reason before the packet came
	data        DropData
}

// expectDrop asks the node's filter what it will do with a packet. The caller
// sends the packet after that.
func expectDrop(n *node, from, to netip.AddrPort, proto ipproto.Proto) *expectedDrop {
	e := n.filter.Explain(from, to, proto)
	x := &expectedDrop{node: n, explanation: e}
	x.data = DropData{Node: n.name, To: to, Stage: e.Stage, Reason: e.Reason, Explanation: e.String()}
	if from.Port() != 0 {
		x.data.From = from
	}
	x.before = x.count()
	return x
}

// count returns how many packets the node has dropped for this reason.
func (x *expectedDrop) count() uint64 {
	return x.node.wrapper.Counters().In.Drops[x.explanation.Reason]
}

// await waits until the counters have the drop. It returns an error if they do
// not get it in time, or if the filter lets such packets in.
func (x *expectedDrop) await(ctx context.Context) ([]string, DropData, error) {
	if !x.explanation.Response.IsDrop() {
		return nil, x.data, fmt.Errorf("%s: the filter says it lets it in: %v", x.node.name, x.explanation)
	}
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	err := eventually(ctx, func() (bool, error) { return x.count() > x.before, nil })
	x.data.Dropped = x.count() - x.before
	if err != nil {
		return nil, x.data, fmt.Errorf("%s: dropped no packet for %v: %w", x.node.name, x.explanation.Reason, err)
	}
	lines := []string{fmt.Sprintf("the %s's filter dropped %s at stage %q for reason %q:",
		x.node.name, ui.Counted(int(x.data.Dropped), "packet", "packets"), x.explanation.Stage, x.explanation.Reason)}
	for l := range strings.Lines(x.data.Explanation) {
		lines = append(lines, "  "+strings.TrimSpace(l))
	}
	return lines, x.data, nil
}
