package flow_test

import (
	"math/rand/v2"
	"testing"

	"tstun/flow"
)

// Take and the functions of Accounts return all that was added to accounts, once, whatever
// happens to their entries meanwhile; and Untaken tells for how many entries Take does.
func TestTakeIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	var added, told flow.Counts
	newTable := func() *flow.Table[int] {
		table := flow.New[int](flow.Config{Limit: 300})
		table.KeepAccounts(&flow.Accounts[int]{
			Ended: func(_ *flow.Record[int], untaken flow.Counts, _ int64) { told = told.Add(untaken) },
		})
		return table
	}
	table, other := newTable(), newTable()
	for step := range 20_000 {
		now := int64(step)
		k := key(random.IntN(500))
		id := k.ID()
		switch random.IntN(12) {
		case 0, 1, 2:
			table.UpsertID(&id, flow.Claim{Peer: flow.PeerID(random.IntN(3))}, now, func(e *flow.Entry[int], _ bool) flow.Action {
				e.Expires = now + int64(random.IntN(3000))
				return flow.Touch
			})
		case 3:
			table.NoteID(&id, flow.Note{Policy: 1}, 0, now)
		case 4:
			table.Delete(k)
		case 5:
			if a, untaken, ok := table.TakeAccount(&id); ok && !other.PutAccount(&id, flow.Claim{}, &a, untaken, now+100, now) {
				told = told.Add(untaken)
			}
		case 6:
			if random.IntN(20) > 0 {
				continue
			}
			for _, at := range []*flow.Table[int]{table, other} {
				most, n := at.Untaken(), 0
				at.Take(func(_ flow.Key, c flow.Counts) {
					n++
					told = told.Add(c)
				})
				if n != most || at.Untaken() != 0 {
					t.Fatalf("step %d: Take returned %d of %d, and left %d", step, n, most, at.Untaken())
				}
			}
			if told != added {
				t.Fatalf("step %d: told %+v, want %+v", step, told, added)
			}
		default:
			in, size := random.IntN(2) == 0, uint64(random.IntN(1500)+20)
			if !table.AddID(&id, in, 2, size, now) {
				continue
			}
			if c := (flow.Counts{RxPackets: 2, RxBytes: size}); in {
				added = added.Add(c)
			} else {
				added = added.Add(flow.Counts{TxPackets: 2, TxBytes: size})
			}
		}
	}
	if added.TxPackets == 0 {
		t.Fatal("nothing was added")
	}
}
