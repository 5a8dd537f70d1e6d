package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"tstun/cmd/tstun/internal/ui"
	"tstun/filter"
	"tstun/ipproto"
)

// watch expects the filter of a node to drop something.
type watch struct {
	node   *node
	why    filter.Explanation
	before uint64
	data   dropData
}

// watch asks the node's filter, before the packet comes, what it is going to
// do with it.
func (d *demo) watch(n *node, from, to netip.AddrPort, proto ipproto.Proto) *watch {
	e := n.filter.Explain(from, to, proto)
	w := &watch{node: n, why: e}
	w.data = dropData{Node: n.name, To: to, Stage: e.Stage, Reason: e.Reason, Explanation: e.String()}
	if from.Port() != 0 {
		w.data.From = from
	}
	w.before = w.count()
	return w
}

func (w *watch) count() uint64 { return w.node.wrapper.Counters().In.Drops[w.why.Reason] }

// result waits until the counters show the drop.
func (w *watch) result(ctx context.Context) ([]string, dropData, error) {
	if !w.why.Response.IsDrop() {
		return nil, w.data, fmt.Errorf("%s: the filter says it lets it in: %v", w.node.name, w.why)
	}
	ctx, cancel := context.WithTimeout(ctx, promptly)
	defer cancel()
	err := eventually(ctx, func() (bool, error) { return w.count() > w.before, nil })
	w.data.Dropped = w.count() - w.before
	if err != nil {
		return nil, w.data, fmt.Errorf("%s: dropped no packet for %v: %w", w.node.name, w.why.Reason, err)
	}
	lines := []string{fmt.Sprintf("the %s's filter dropped %s at stage %q for reason %q:",
		w.node.name, ui.Counted(int(w.data.Dropped), "packet", "packets"), w.why.Stage, w.why.Reason)}
	for l := range strings.Lines(w.data.Explanation) {
		lines = append(lines, "  "+strings.TrimSpace(l))
	}
	return lines, w.data, nil
}
