package tstun_test

import (
	"fmt"
	"slices"
	"testing"

	"tstun/filter"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
)

// TestLogOfRecords: while records are kept, the filter's log has a line for each refused
// flow and for each that begins, and is written where the program may ask for records.
func TestLogOfRecords(t *testing.T) {
	r := rig.New(t, 8)
	var lines []string
	f, err := filter.New(filter.Config{
		Matches: []filter.Match{rig.To(rig.Port(80))}, Local: rig.Local(),
		Logf: func(format string, args ...any) {
			r.W.Flows()
			lines = append(lines, fmt.Sprintf(format, args...))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.W.SetFilter(f)
	want := func(what string, want ...string) {
		t.Helper()
		if !slices.Equal(lines, want) {
			t.Errorf("%s: %q, want %q", what, lines, want)
		}
		lines = nil
	}
	refused := craft.UDP(peer4, 5, host4, 81, "refused")
	const packet = "filter: in drop UDP{100.64.0.2:5 > 100.64.0.1:81}, 35 bytes, reason no-rule"
	r.FromPeer(refused, refused)
	want("no records", packet, packet)

	r.W.SetFlowRecordsEnabled(true)
	r.FromPeer(refused, refused)
	r.FromPeer(refused)
	want("refused", "filter: in drop flow udp{100.64.0.2:5 > 100.64.0.1:81}, 70 bytes, reason no-rule")
	for range 2 {
		r.FromPeer(craft.UDP(peer4, 5, host4, 80, "accepted"))
	}
	want("accepted", "filter: in accept UDP{100.64.0.2:5 > 100.64.0.1:80}, 36 bytes, reason none")
	for port := range uint16(20) {
		r.FromPeer(craft.UDP(peer4, 5, host4, 1000+port, ""))
	}
	if n := len(lines); n != 8 || lines[n-1] != "filter: in drop more flows of 100.64.0.2, 28 bytes, reason no-rule" {
		t.Errorf("scan: %d lines %q", n, lines)
	}
	lines = nil
	r.W.SetFlowRecordsEnabled(false)
	r.FromPeer(refused)
	want("no records any more", packet)
}
