package rig

import "tstun/filter"

// WantDrop runs f and checks that in the meantime exactly one packet was
// dropped, for the reason given.
func (r *Rig) WantDrop(inbound bool, want filter.Reason, f func()) {
	r.T.Helper()
	before := r.W.Counters()
	f()
	after := r.W.Counters()
	a, b := before.Out, after.Out
	if inbound {
		a, b = before.In, after.In
	}
	for _, reason := range filter.Reasons() {
		wantN := uint64(0)
		if reason == want {
			wantN = 1
		}
		if got := b.Drops[reason] - a.Drops[reason]; got != wantN {
			r.T.Errorf("%d drops as %v, want %d", got, reason, wantN)
		}
	}
	if b.Packets != a.Packets {
		r.T.Errorf("%d packets counted as passed, want none", b.Packets-a.Packets)
	}
}

// WantDropWithPass checks that f drops exactly one outbound packet, for that
// reason, and passes one.
func (r *Rig) WantDropWithPass(reason filter.Reason, f func()) {
	r.T.Helper()
	before := r.W.Counters().Out
	f()
	after := r.W.Counters().Out
	if d, p := after.Drops[reason]-before.Drops[reason], after.Packets-before.Packets; d != 1 || p != 1 || after.Dropped() != before.Dropped()+1 {
		r.T.Errorf("%d dropped as %v, %d passed; want 1 and 1", d, reason, p)
	}
}

// WantHeld checks the books: all that came is delivered, dropped or held.
func (r *Rig) WantHeld(what string, came, held int, drops map[filter.Reason]uint64) {
	r.T.Helper()
	c := r.W.Counters().In
	if int(c.Held) != held || c.Packets+c.Dropped()+c.Held != uint64(came) {
		r.T.Errorf("%s: %+v, want %d held of %d that came", what, c, held, came)
	}
	for _, reason := range filter.Reasons() {
		if c.Drops[reason] != drops[reason] {
			r.T.Errorf("%s: %d dropped as %v, want %d", what, c.Drops[reason], reason, drops[reason])
		}
	}
}
