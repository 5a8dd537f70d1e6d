package tunnel

import (
	"tstun/flowlog"
)

// openRecords begins the records of flows, and to tell of those that are refused.
func (t *Tunnel) openRecords() {
	if t.now().RecordMemory < 0 {
		return
	}
	first := newFirstRefusals()
	t.records = flowlog.New(t.wrapper.Wrapper, flowlog.Config{Memory: t.now().RecordMemory, Refused: first.note})
	told := make(chan struct{})
	t.atClose("end the records of flows", func() error {
		t.records.Close()
		close(first.end)
		<-told
		return nil
	})
	go func() {
		defer close(told)
		first.run(t.tellRefused)
	}()
}

// tellRefused tells of a flow that is refused for the first time, and of how many were not
// told before it.
func (t *Tunnel) tellRefused(r *flowlog.Record, untold uint64) {
	var f Flow
	t.flowNames().flow(&f, r)
	text := f.String() + ": " + f.Reason.String()
	if f.Nearest != "" {
		text += "; " + f.Nearest
	}
	t.emit(Event{Kind: FlowFirstRefused, Time: f.First, Peer: f.Peer, PeerName: f.PeerName, Text: text, Flow: &f, Untold: untold})
}
