package flowlog_test

import (
	"testing"

	"tstun"
	"tstun/filter"
	"tstun/flowlog"
	"tstun/internal/rig"
	"tstun/internal/rig/race"
)

// A packet of a flow that is known costs no allocation where a Log records, and a packet
// that is refused again none either.
func TestNoAllocationPerPacket(t *testing.T) {
	if testing.CoverMode() != "" || race.Enabled {
		t.Skip("coverage and the race detector allocate")
	}
	const batch, flows = 128, 1000
	for name, traffic := range rig.Loads(batch, flows) {
		for _, refused := range []bool{false, true} {
			l := rig.NewDirectLoad(t, batch, traffic, false)
			if refused {
				l.W.SetFilter(filter.NewAllowNone(nil))
			}
			log := flowlog.New(l.W, flowlog.Config{Refused: func(tstun.RefusedRecord) {}})
			for range l.Rounds() + 10 {
				l.Write()
			}
			if n := testing.AllocsPerRun(l.Rounds()+100, l.Write); n != 0 {
				t.Errorf("%s, refused %v: %v allocations of a batch", name, refused, n)
			}
			log.Close()
		}
	}
}
