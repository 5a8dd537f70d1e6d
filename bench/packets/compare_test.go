package packets_test

import (
	"testing"
	"time"

	"tstun/bench/packets"
	"tstun/bench/report"
)

// A comparison with tiny counts has figures of everybody in every case where
// they take part, and nobody drops a packet.
func TestCompare(t *testing.T) {
	cases := []packets.Case{
		{Op: "Write", Proto: "UDP", Batch: 128, Flows: 3, Rules: 1},
		{Op: "Write", Proto: "TCP", Batch: 1, Flows: 1, Rules: 100, Statistics: true},
		{Op: "Read", Proto: "UDP", Batch: 1, Flows: 1000, Rules: 1, Hook: true},
		{Op: "Read", Proto: "TCP", Batch: 128, Flows: 1, Rules: 1},
	}
	r := report.New()
	cfg := packets.Config{Cases: cases, Rounds: 2, Sample: time.Microsecond, Logf: t.Logf}
	if err := packets.Compare(t.Context(), cfg, r); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		want := map[string]bool{packets.Bare: true, packets.Tstun: true, packets.Tailscale: true, packets.Nebula: i == 0 || i == 3}
		for kind, there := range want {
			s := r.Find(report.Packet, c.String(), packets.Wall, kind)
			if (s != nil) != there {
				t.Errorf("%s, %s: there are figures: %v, want %v", c, kind, s != nil, there)
			} else if there && (len(s.Rounds) != 2 || s.Rounds[0] <= 0) {
				t.Errorf("%s, %s: rounds %v, want 2 above 0", c, kind, s.Rounds)
			}
		}
	}
}

// The matrix has no case twice, and each call with each batch size.
func TestMatrix(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range packets.Matrix() {
		if names[c.String()] {
			t.Errorf("%s is there twice", c)
		}
		names[c.String()] = true
	}
	for _, want := range []string{
		"Write, batch 1, UDP, one flow", "Write, batch 128, TCP, 1,000 flows", "Read, batch 1, UDP, one flow, statistics off",
		"Read, batch 128, UDP, one flow, hook set", "Write, batch 128, UDP, 1,000 flows, 10,000 rules",
	} {
		if !names[want] {
			t.Errorf("there is no case %q", want)
		}
	}
}
