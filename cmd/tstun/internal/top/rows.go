package top

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"tstun/ipproto"
	"tstun/tunnel"
)

// row is a flow, and what it carries at the moment.
type row struct {
	tunnel.Flow
	rate float64 // bytes a second since the last answer
}

// rowKey tells a flow from others. Of a refused one the port of its source is left out.
type rowKey struct {
	refused, more bool
	proto         ipproto.Proto
	src, dst      netip.AddrPort
	first         int64
	reason        string
}

func keyOf(f *tunnel.Flow) rowKey {
	k := rowKey{
		refused: f.IsRefused(), more: f.More, proto: f.Proto, first: f.First.UnixNano(), reason: f.Reason.String(),
		src: netip.AddrPortFrom(f.Src.Addr, f.Src.Port), dst: netip.AddrPortFrom(f.Dst.Addr, f.Dst.Port),
	}
	if k.refused {
		k.src = netip.AddrPortFrom(f.Src.Addr, 0)
	}
	return k
}

// sample is what a flow had carried at a time.
type sample struct {
	bytes uint64
	at    time.Time
}

// rowsOf returns the rows of an answer that came at a time, and the samples for the next
// one. A flow that was not in the last answer has a rate only if it is younger.
func rowsOf(flows []tunnel.Flow, before map[rowKey]sample, last, at time.Time) (rows []row, samples map[rowKey]sample) {
	samples = make(map[rowKey]sample, len(flows))
	for i := range flows {
		r := row{Flow: flows[i]}
		key, bytes := keyOf(&r.Flow), r.Bytes()
		was, known := before[key]
		if !known && !last.IsZero() && r.First.After(last) {
			was, known = sample{0, last}, true
		}
		if passed := at.Sub(was.at).Seconds(); known && passed > 0 && bytes > was.bytes {
			r.rate = float64(bytes-was.bytes) / passed
		}
		samples[key] = sample{bytes, at}
		rows = append(rows, r)
	}
	return rows, samples
}

// order is what rows are sorted by.
type order struct {
	name    string
	compare func(a, b *row) int
}

var orders = []order{
	{"rate", func(a, b *row) int { return cmp.Compare(b.rate, a.rate) }},
	{"bytes", func(a, b *row) int { return cmp.Compare(b.Bytes(), a.Bytes()) }},
	{"age", func(a, b *row) int { return b.First.Compare(a.First) }},
	{"last", func(a, b *row) int { return b.Last.Compare(a.Last) }},
	{"name", func(a, b *row) int { return strings.Compare(clean(a.Flow.Short()), clean(b.Flow.Short())) }},
}

// sortRows sorts by o, and rows that are equal by bytes and then by name, so that they keep
// their places.
func sortRows(rows []row, o order) {
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(o.compare(&a, &b), cmp.Compare(b.Bytes(), a.Bytes()), a.First.Compare(b.First), strings.Compare(clean(a.Flow.Short()), clean(b.Flow.Short())))
	})
}
