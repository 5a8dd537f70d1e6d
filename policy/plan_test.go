package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tstun/ipproto"
	"tstun/policy"
)

func TestPlan(t *testing.T) {
	p := mustParse(t, `{"local": ["10.0.0.1"], "accept": [{"proto": "tcp", "src": "10.0.0.0/24", "dst": "10.0.0.1:22,80"}]}`)
	of := func(peer, src, dst string, change func(*policy.Seen)) policy.Seen {
		s := seenFlow(t, p, src, dst, "tcp")
		s.Peer = peer
		change(&s)
		return s
	}
	open := func(*policy.Seen) {}
	refused := func(s *policy.Seen) { s.Refused = true }
	seen := []policy.Seen{
		of("b", "10.0.0.2", "10.0.0.1:22", open), of("b", "10.0.0.2", "10.0.0.1:23", open), of("b", "10.0.0.2", "10.0.0.1:24", refused),
		of("a", "10.0.0.3", "10.0.0.1:80", refused), of("a", "10.0.1.3", "10.0.0.1:80", open),
		of("a", "10.0.0.3", "10.0.0.1:99", func(s *policy.Seen) { s.Outbound = true }),
	}
	plan, err := p.Plan(slices.Values(seen), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := &policy.Plan{
		Cut: []policy.Seen{seen[1], seen[4]}, LetIn: []policy.Seen{seen[3]},
		Peers: []policy.PeerPlan{
			{Peer: "a", Open: 1, Cut: 1, CutBytes: 100, Refused: 1, LetIn: 1, LetInPackets: 2},
			{Peer: "b", Open: 2, Cut: 1, CutBytes: 100, Refused: 1},
		},
	}
	if !reflect.DeepEqual(plan, want) {
		t.Errorf("%+v\nwant %+v", plan, want)
	}
}

const (
	manyRulesN = 10_000
	manyFlowsN = 100_000
	manyPeersN = 64
)

// large is a policy of 10,000 rules and 1,000 names with 50 tests, and 100,000 flows
// from addresses of 64 peers to 64 of its hosts: half of them are allowed.
func large() (text []byte, flows []policy.Seen) {
	r := rand.New(rand.NewPCG(9, 10))
	var b strings.Builder
	b.WriteString("{\n\t\"hosts\": {\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "\t\t\"host-%d\": [\"10.1.%d.%d\", \"fd00::%x\"],\n", i, i>>8, i&255, i+1)
	}
	b.WriteString("\t},\n\t\"local\": \"10.2.0.0/16\",\n\t\"accept\": [\n")
	for i := range manyRulesN {
		fmt.Fprintf(&b, "\t\t{\"proto\": \"tcp\", \"src\": \"host-%d\", \"dst\": \"10.2.0.%d:%d\"}, // %d\n", i%1000, i%64, 1000+i/64, i)
	}
	b.WriteString("\t],\n\t\"tests\": [\n")
	for i := range 50 {
		fmt.Fprintf(&b, "\t\t{\"src\": \"host-%d\", \"deny\": \"10.2.0.0/16:1-99\"},\n", i)
	}
	b.WriteString("\t],\n}\n")
	for i := range manyFlowsN {
		host := r.IntN(1000)
		s := policy.Seen{Flow: policy.Flow{Proto: ipproto.TCP, Src: netip.AddrFrom4([4]byte{10, 1, byte(host >> 8), byte(host)})}, Peer: fmt.Sprint(host % manyPeersN), Bytes: 1, Packets: 1}
		if rule := host + 1000*r.IntN(10); i%2 == 0 {
			s.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(rule % 64)}), uint16(1000+rule/64))
		} else {
			s.Dst, s.Refused = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(r.IntN(64))}), uint16(50+r.IntN(100))), true
		}
		flows = append(flows, s)
	}
	return []byte(b.String()), flows
}

func flowsIn(seen []policy.Seen, refused bool) (flows []policy.Flow) {
	for _, s := range seen {
		if s.Refused == refused {
			flows = append(flows, s.Flow)
		}
	}
	return flows
}

// BenchmarkLarge is what the commands compute with 100,000 flows, 10,000 rules and 64
// peers; for Suggest half of the flows were refused.
func BenchmarkLarge(b *testing.B) {
	text, seen := large()
	p, err := policy.Parse("test", text)
	if err != nil {
		b.Fatal(err)
	}
	for _, bb := range []struct {
		name string
		run  func() error
	}{
		{"plan", func() error { _, err := p.Plan(slices.Values(seen), 0); return err }},
		{"usage", func() error { _, err := p.Usage(slices.Values(seen)); return err }},
		{"suggest", func() error { _, err := policy.Suggest("test", text, "", flowsIn(seen, true)); return err }},
		{"tighten", func() error { _, err := policy.Tighten("test", text, "", flowsIn(seen, false)); return err }},
		{"matrix", func() error { _, err := policy.MatrixOf(p); return err }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bb.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
