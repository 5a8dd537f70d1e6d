package control_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"tstun"
	"tstun/cmd/tstun/internal/control"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/key"
	"tstun/policy"
	"tstun/tunnel"
)

// randomFlow returns a flow of which each field may be its zero value.
func randomFlow(r *rand.Rand) (f tunnel.Flow) {
	if r.IntN(2) == 0 {
		return f
	}
	side := func() (s tunnel.FlowSide) {
		addrs := []netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}
		names := []string{"", "web", `a "b" <c> \ ü`, "\x00\xff"}
		return tunnel.FlowSide{Addr: addrs[r.IntN(3)], Port: uint16(r.IntN(3)), Name: names[r.IntN(4)]}
	}
	place := func() *tunnel.RulePlace {
		return []*tunnel.RulePlace{nil, {}, {Index: 3, Position: policy.Position{File: "a/b.hujson", Line: 4, Column: 5}}}[r.IntN(3)]
	}
	at := func() time.Time { return time.Unix(int64(r.IntN(2e9)), int64(r.IntN(3))*1000).UTC() }
	f = tunnel.Flow{
		Kind: tunnel.FlowOpen, Time: at(), Proto: []ipproto.Proto{0, ipproto.TCP, 200}[r.IntN(3)], Src: side(), Dst: side(),
		More: r.IntN(2) == 0, Initiator: filter.Initiator(r.IntN(3)), PeerName: side().Name,
		In: tunnel.FlowTraffic{Packets: r.Uint64N(2), Bytes: r.Uint64N(2)}, Out: tunnel.FlowTraffic{Packets: r.Uint64N(2), Bytes: r.Uint64()},
		First: at(), Last: at(), Phase: filter.Phase(r.IntN(8)), End: tstun.FlowEnd(r.IntN(5)), Revoked: r.IntN(2) == 0,
		Rule: place(), Reason: filter.Reason(r.IntN(20)), Nearest: side().Name, NearestRule: place(),
		Lacks: [][]string{nil, {"port"}, {"source", "port"}}[r.IntN(3)], AllowedNow: place(), Lost: r.Uint64N(2),
	}
	if r.IntN(2) == 0 {
		f.Peer = key.NewPrivate().Public()
	}
	return f
}

// What is appended is what json.Marshal returns, whatever is known of a flow, and can be
// read back.
func TestFlowJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	fields := reflect.TypeFor[tunnel.Flow]().NumField()
	seen := make(map[int]bool)
	for range 5000 {
		f := randomFlow(r)
		want, err := json.Marshal(&f)
		if err != nil {
			t.Fatal(err)
		}
		got := control.AppendFlow([]byte("before"), &f)
		if string(got) != "before"+string(want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
		var back tunnel.Flow
		if err := json.Unmarshal(want, &back); err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		for i := range fields {
			if !reflect.ValueOf(f).Field(i).IsZero() {
				seen[i] = true
			}
		}
	}
	if len(seen) != fields {
		t.Errorf("%d fields of %d had a value", len(seen), fields)
	}
	f := tunnel.Flow{Kind: tunnel.FlowOpen, Proto: ipproto.TCP, Src: tunnel.FlowSide{Addr: netip.MustParseAddr("10.0.0.1"), Name: "web"}, Rule: &tunnel.RulePlace{Index: 1}}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { control.AppendFlow(buf, &f) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
