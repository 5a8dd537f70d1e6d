package control_test

import (
	"testing"

	"tstun/cmd/tstun/internal/control"
	"tstun/filter"
	"tstun/tunnel"
)

// GET /v1/checks says what each flow meets, by names, in the direction that is asked
// for or that the addresses have.
func TestChecks(t *testing.T) {
	a, _ := pair(t)
	l, err := a.Listen(within(t), "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, c := serve(t, a)
	for _, tt := range []struct {
		q     control.ChecksQuery
		want  filter.Direction
		flows int
	}{
		{control.ChecksQuery{Src: "other", Dst: "10.9.0.1:80"}, filter.Inbound, 1},
		{control.ChecksQuery{Src: "10.9.0.1", Dst: "other:53-54", Proto: "udp"}, filter.Outbound, 2},
		{control.ChecksQuery{Src: "other", Dst: "10.9.0.1", Proto: "icmp", Direction: "in"}, filter.Inbound, 1},
	} {
		got, err := c.Checks(within(t), tt.q)
		if err != nil || len(got.Flows) != tt.flows {
			t.Fatalf("%+v: %+v, %v", tt.q, got, err)
		}
		for _, e := range got.Flows {
			if e.Direction != tt.want || e.Peer != "other" || len(e.Checks) < 5 || e.Checks[0].Step != tunnel.StepRules || e.Wrong() != nil {
				t.Errorf("%+v: %v", tt.q, e)
			}
		}
	}
	got, err := c.Checks(within(t), control.ChecksQuery{Src: "10.9.0.7", Dst: "10.9.0.1:80"})
	if err != nil || got.Flows[0].Wrong() == nil || got.Flows[0].Wrong().Code != "no-peer" {
		t.Errorf("%+v, %v", got, err)
	}
}
