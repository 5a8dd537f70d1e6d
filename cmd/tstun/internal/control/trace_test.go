package control_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/control"
	"tstun/tunnel"
)

// POST /v1/trace says what came of each flow, and refuses what cannot be tried.
func TestTrace(t *testing.T) {
	a, b := pair(t)
	l, err := b.Listen(within(t), "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, c := serve(t, a)
	got, err := c.Trace(within(t), control.TraceQuery{Src: "10.9.0.1", Dst: "other:80-81"})
	if err != nil || len(got.Flows) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, want := range []tunnel.Outcome{tunnel.OutcomeAnswered, tunnel.OutcomeClosed} {
		f := got.Flows[i]
		if f.Probe == nil || f.Probe.Outcome != want || f.Peer != "other" || f.PeerKey != b.Status().PublicKey || f.Dst.Port() != uint16(80+i) || len(f.Checks) < 5 {
			t.Errorf("flow %d: %+v, want %s", i, f, want)
		}
	}
	if got, err := c.Trace(within(t), control.TraceQuery{Src: "10.9.0.1", Dst: "10.9.0.7:80"}); err != nil || got.Flows[0].Probe != nil || got.Flows[0].Obstacle().Code != "no-peer" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, tt := range []struct {
		q    control.TraceQuery
		want string
	}{
		{control.TraceQuery{Src: "other", Dst: "10.9.0.1:80"}, "does not begin at this node"},
		{control.TraceQuery{Src: "10.9.0.1", Dst: "other:1-9"}, "9 flows: want at most 8"},
		{control.TraceQuery{Src: "nobody", Dst: "other:1"}, "nobody"},
		{control.TraceQuery{Src: "10.9.0.1", Dst: "other:1", Wait: time.Hour}, "timeout=1h0m0s: want a time up to 1m0s"},
	} {
		var told *control.Error
		if _, err := c.Trace(within(t), tt.q); !errors.As(err, &told) || told.Code != http.StatusBadRequest || !strings.Contains(told.Message, tt.want) {
			t.Errorf("%+v: %v", tt.q, err)
		}
	}
}

// A client finds a tunnel by the path of its socket, which need not be where tunnels are.
func TestAt(t *testing.T) {
	a, _ := pair(t)
	dir := shortDir(t)
	s, err := control.Listen(dir, "node", func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(nil)
	s.Serve(control.Running{Tunnel: a, Network: through{a}})
	c, err := control.At(dir + "/node.sock")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Status(within(t)); err != nil || c.Name != "node" || got.PublicKey != a.Status().PublicKey {
		t.Errorf("%s: %+v, %v", c.Name, got, err)
	}
	if _, err := control.At(dir + "/absent.sock"); err == nil {
		t.Error("an absent socket is found")
	}
}
