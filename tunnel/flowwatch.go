package tunnel

import (
	"context"

	"tstun/flowlog"
)

// FlowWatch tells of flows as they begin, end and are refused, from WatchFlows on. One
// goroutine at a time may use it. Who is slower than the memory of the records lasts loses
// some, which are counted, and holds nobody up.
type FlowWatch struct {
	tunnel  *Tunnel
	match   func(*flowlog.Record) bool
	records *flowlog.Subscription
	names   *flowNames
	told    uint64 // of the lost ones
}

// WatchFlows begins a FlowWatch, which the caller has to Close, of the flows for which
// match, if it is set, is true. Without records the error is ErrNoRecords.
func (t *Tunnel) WatchFlows(match func(*flowlog.Record) bool) (*FlowWatch, error) {
	if t.records == nil {
		return nil, ErrNoRecords
	}
	return &FlowWatch{tunnel: t, match: match, records: t.records.Subscribe(flowlog.Options{}), names: t.flowNames()}, nil
}

// Next waits for the next flow. The error is that of ctx, or flowlog.ErrClosed when the
// tunnel ends.
func (w *FlowWatch) Next(ctx context.Context) (Flow, error) {
	for {
		r, err := w.records.Next(ctx)
		if err != nil {
			return Flow{}, err
		}
		if w.match != nil && !w.match(&r) {
			continue
		}
		if w.names.areOld(w.tunnel) {
			w.names = w.tunnel.flowNames()
		}
		w.names.looks = maxLooks
		var f Flow
		w.names.flow(&f, &r)
		f.Lost = w.records.Lost() - w.told
		w.told += f.Lost
		return f, nil
	}
}

// Close ends the FlowWatch.
func (w *FlowWatch) Close() { w.records.Close() }
