package control_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/control/controltest"
	"tstun/policy"
)

// What policies are computed on is told whole, and the plan of the tunnel is the one that
// is computed on it. Neither changes what is in force.
func TestSeenAndPlan(t *testing.T) {
	const open, refused = 130, 20
	dir, file := controltest.Crowd(t, open, refused)
	c, err := control.Find([]string{dir}, "node")
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	seen, err := c.Seen(ctx, control.FlowsQuery{})
	if err != nil || len(seen) != open+refused {
		t.Fatalf("%d flows, %v", len(seen), err)
	}
	for _, q := range []struct {
		control.FlowsQuery
		want int
	}{
		{control.FlowsQuery{Dropped: true}, refused},
		{control.FlowsQuery{Filter: "port 53"}, open},
		{control.FlowsQuery{Filter: "peer peer0 and not dropped"}, 3},
	} {
		if some, err := c.Seen(ctx, q.FlowsQuery); err != nil || len(some) != q.want || some[0].Peer == "" || some[0].Last.IsZero() {
			t.Errorf("%+v: %+v, %v", q, some, err)
		}
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	next := []byte(strings.Replace(string(before), `"web:53"}]}`, `"web:2000-2001"}]}`, 1))
	p, err := policy.Parse("next", next)
	if err != nil {
		t.Fatal(err)
	}
	want, err := p.Plan(slices.Values(seen), 0)
	if err != nil || want.CutFlows() != open || len(want.LetIn) == 0 {
		t.Fatalf("%+v, %v", want, err)
	}
	got, err := c.PlanPolicy(ctx, next, "", control.FlowsQuery{})
	if err != nil || !reflect.DeepEqual(got.Peers, want.Peers) || len(got.Cut) != open || len(got.LetIn) != len(want.LetIn) {
		t.Errorf("%+v, %v", got, err)
	}
	few, err := c.PlanPolicy(ctx, next, "web", control.FlowsQuery{Limit: 7})
	if err != nil || !reflect.DeepEqual(few.Peers, want.Peers) || len(few.Cut) != 7 {
		t.Errorf("%+v, %v", few, err)
	}
	if now, err := c.Policy(ctx); err != nil || now.Text != string(before) || !now.Until.IsZero() {
		t.Errorf("in force is another: %v", err)
	}
	for _, tt := range []struct {
		name, text, host, filter string
		code                     int
		says                     string
	}{
		{"not a policy", "{", "", "", http.StatusUnprocessableEntity, file + ":1:2: "},
		{"a test does not hold", strings.TrimSuffix(string(before), "}") + `, "tests": [{"src": "10.10.0.1", "proto": "udp", "deny": "web:53"}]}`, "", "", http.StatusUnprocessableEntity, "is to be denied"},
		{"not local", string(before), "10.1.1.1", "", http.StatusUnprocessableEntity, `"local"`},
		{"not an expression", string(before), "", "port x", http.StatusBadRequest, "filter: "},
		{"too long", strings.Repeat(" ", 16<<20+1), "", "", http.StatusRequestEntityTooLarge, "more than 16777216 bytes"},
	} {
		var told *control.Error
		_, err := c.PlanPolicy(ctx, []byte(tt.text), tt.host, control.FlowsQuery{Filter: tt.filter})
		if !errors.As(err, &told) || told.Code != tt.code || !strings.Contains(told.Message, tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// What is appended of a flow is what json.Marshal returns.
func TestSeenJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		f := randomFlow(r)
		s := policy.Seen{
			Flow:     policy.Flow{Proto: f.Proto, Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddrPort("[fd00::1]:80")},
			Outbound: f.More, Refused: f.Revoked, Peer: f.PeerName, Packets: f.In.Packets, Bytes: f.Out.Bytes, Last: f.Last,
		}
		want, err := json.Marshal(s)
		if got := control.AppendSeen(nil, &s); err != nil || string(got) != string(want) {
			t.Fatalf("got  %s\nwant %s, %v", got, want, err)
		}
	}
}
