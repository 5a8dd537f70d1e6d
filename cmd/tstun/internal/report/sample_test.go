package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"tstun"
	"tstun/cmd/tstun/internal/control"
	"tstun/cmd/tstun/internal/report"
	"tstun/filter"
	"tstun/ipproto"
	"tstun/key"
	"tstun/tunnel"
)

// made is when samples were made.
var made = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

const hour = time.Hour

// sample answers as a tunnel does that runs.
type sample struct {
	status  control.Status
	traffic tunnel.Traffic
	flows   []tunnel.Flow
	total   tunnel.FlowTotal
	policy  tunnel.PolicyText
	history tunnel.PolicyHistory
	events  []tunnel.Event
	fails   bool // all but the status
}

var errSample = errors.New("no answer")

func answer[T any](s *sample, v T) (T, error) {
	if s.fails {
		return *new(T), errSample
	}
	return v, nil
}

func (s *sample) Status(context.Context) (control.Status, error) { return s.status, nil }
func (s *sample) Traffic(context.Context, time.Time) (tunnel.Traffic, error) {
	return answer(s, s.traffic)
}
func (s *sample) Policy(context.Context) (tunnel.PolicyText, error) { return answer(s, s.policy) }
func (s *sample) PolicyHistory(context.Context) (tunnel.PolicyHistory, error) {
	return answer(s, s.history)
}

func (s *sample) Flows(_ context.Context, q control.FlowsQuery, line func([]byte) error) (tunnel.FlowTotal, error) {
	passed, refused := 0, 0
	for i := range s.flows {
		n := &passed
		if s.flows[i].IsRefused() {
			n = &refused
		}
		if *n++; *n > q.Limit {
			continue
		}
		text, _ := json.Marshal(&s.flows[i])
		if err := line(text); err != nil {
			return s.total, err
		}
	}
	return answer(s, s.total)
}

func (s *sample) Events(_ context.Context, _ bool, line func([]byte) error) error {
	for i := range s.events {
		text, _ := json.Marshal(&s.events[i])
		if err := line(text); err != nil {
			return err
		}
	}
	_, err := answer(s, 0)
	return err
}

// collect returns the report of a tunnel.
func collect(t *testing.T, s *sample, o report.Options) *report.Report {
	t.Helper()
	if o.Since.IsZero() {
		o.Since = made.Add(-hour)
	}
	o.Version, o.Now = "v1.2.3", made
	r, err := report.Collect(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// html returns the page of a report.
func html(t *testing.T, r *report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteHTML(&b, time.UTC); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const samplePolicy = `// Who may reach the office.
{
	"hosts": {
		"web": ["10.9.0.10", "fd09::10"], "db": "10.9.0.11", "backup": "10.9.0.12",
		"laptop": ["10.9.0.20", "fd09::20"], "phone": "10.9.0.21", "build": "10.9.0.30",
	},
	"groups": {"admins": ["laptop", "phone"]},
	"local": ["web", "db", "backup"],
	"accept": [
		{"proto": "tcp", "src": "*", "dst": "web:80,443"},
		{"proto": ["tcp", "icmp"], "src": "admins", "dst": ["web:22", "db:22", "backup:22"]},
		{"proto": "tcp", "src": ["web", "build"], "dst": "db:5432"},
		{"src": "192.0.2.0/24", "dst": "backup:8000-8999"},
	],
	"tests": [{"src": "phone", "accept": "web:443", "deny": "db:5432"}],
}
`

func publicKey(n byte) key.Public { return key.PublicFromRaw32([32]byte{n, 7, 1}) }

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// newSample returns a tunnel with something of everything.
func newSample() *sample {
	began := made.Add(-5 * hour)
	s := &sample{policy: tunnel.PolicyText{File: "/etc/tstun/office.hujson", Hash: fmt.Sprintf("%064x", 0xfeedface), Text: samplePolicy}}
	s.status.Status = tunnel.Status{
		Name: "office", Mode: tunnel.ModeKernel, ModeReason: "it was asked for", Started: began, PublicKey: publicKey(1),
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24")}, MTU: 1420, ListenPort: 51820,
		Policy: tunnel.PolicyStatus{File: "office.hujson", Hash: s.policy.Hash, Loaded: made.Add(-42 * time.Minute), Rules: 4},
		Peers: []tunnel.PeerStatus{
			{Name: "laptop", ID: 1, PublicKey: publicKey(2), Endpoint: netip.MustParseAddrPort("198.51.100.7:41641"), Handshake: made.Add(-74 * time.Second), Up: true, Received: 412 << 20, Sent: 3 << 30},
			{Name: "phone", ID: 2, PublicKey: publicKey(3), Endpoint: netip.MustParseAddrPort("203.0.113.90:51820"), Handshake: made.Add(-3 * hour), Received: 8 << 20, Sent: 91 << 20},
			{Name: "build", ID: 3, PublicKey: publicKey(4), Endpoint: netip.MustParseAddrPort("[2001:db8::1e]:51820"), Handshake: made.Add(-100 * time.Second), Up: true, Received: 9 << 30, Sent: 700 << 20},
			{ID: 4, PublicKey: publicKey(5)},
		},
	}
	s.traffic = sampleTraffic()
	s.flows, s.total = sampleFlows()
	s.history.Changes = []tunnel.PolicyChange{
		{Kind: tunnel.PolicyChangeLoaded, Time: began, File: "office.hujson", Hash: fmt.Sprintf("%064x", 0xbeef), Serial: 1, Rules: 3},
		{Kind: tunnel.PolicyChangeRefused, Time: made.Add(-58 * time.Minute), File: "office.hujson", Hash: fmt.Sprintf("%064x", 0xdead), Text: "office.hujson:13:41: \"backup:8000-899\": the range ends before it begins"},
		{Kind: tunnel.PolicyChangeTried, Time: made.Add(-50 * time.Minute), File: "office.hujson", Hash: s.policy.Hash, Serial: 2, Rules: 4, Until: made.Add(-49 * time.Minute)},
		{Kind: tunnel.PolicyChangeRolledBack, Time: made.Add(-49 * time.Minute), File: "office.hujson", Hash: fmt.Sprintf("%064x", 0xbeef), Serial: 3, Rules: 3, Text: "nobody confirmed it in time"},
		{Kind: tunnel.PolicyChangeLoaded, Time: made.Add(-42 * time.Minute), File: "office.hujson", Hash: s.policy.Hash, Serial: 4, Rules: 4},
	}
	s.events = []tunnel.Event{
		{Kind: tunnel.PeerUp, Time: began.Add(time.Second), Peer: publicKey(2), PeerName: "laptop"}, // too early
		{Kind: tunnel.PeerUp, Time: made.Add(-55 * time.Minute), Peer: publicKey(4), PeerName: "build", Endpoint: netip.MustParseAddrPort("[2001:db8::1e]:51820")},
		{Kind: tunnel.PolicyLoaded, Time: made.Add(-42 * time.Minute), Text: "office.hujson"}, // is in the history
		{Kind: tunnel.PeerMoved, Time: made.Add(-31 * time.Minute), Peer: publicKey(2), PeerName: "laptop", Endpoint: netip.MustParseAddrPort("198.51.100.7:41641")},
		{Kind: tunnel.PeerDown, Time: made.Add(-12 * time.Minute), Peer: publicKey(3), PeerName: "phone"},
	}
	return s
}

// sampleTraffic is an hour by steps of ten seconds: a download, a backup and a scan.
func sampleTraffic() (t tunnel.Traffic) {
	t.Step = 10
	for i := range 361 {
		x := tunnel.TrafficInterval{From: made.Add(time.Duration(i-361) * 10 * time.Second), Seconds: 10}
		wave := 1.3 + math.Sin(float64(i)/9) + math.Sin(float64(i)/2.3)/4
		x.In.Bytes, x.Out.Bytes = uint64(4e5*wave), uint64(1.5e6*wave)
		switch {
		case i > 90 && i < 150:
			x.Out.Bytes += uint64(3e7 * (1 - math.Abs(float64(i-120))/40))
		case i > 230 && i < 290:
			x.In.Bytes += 45e6 + uint64(i%7)*1e6
		}
		x.In.Packets, x.Out.Packets = x.In.Bytes/900+1, x.Out.Bytes/900+1
		if i > 180 && i < 215 {
			x.In.Drops = map[filter.Reason]uint64{filter.ReasonNoRule: uint64(30 + i%11)}
		} else if i%40 == 0 {
			x.In.Drops = map[filter.Reason]uint64{filter.ReasonNoFlow: 2, filter.ReasonMulticast: 1}
		}
		t.Intervals = append(t.Intervals, x)
	}
	return t
}

func sampleFlows() (all []tunnel.Flow, total tunnel.FlowTotal) {
	side := func(name, a string, port uint16) tunnel.FlowSide {
		return tunnel.FlowSide{Addr: addr(a), Port: port, Name: name}
	}
	rule := func(line int) *tunnel.RulePlace {
		r := &tunnel.RulePlace{Index: line - 11}
		r.File, r.Line, r.Column = "/etc/tstun/office.hujson", line, 3
		return r
	}
	add := func(f tunnel.Flow, in, out uint64, from, last time.Duration) {
		f.Time, f.First, f.Last = made, made.Add(-from), made.Add(-last)
		f.In, f.Out = tunnel.FlowTraffic{Packets: in/800 + 1, Bytes: in}, tunnel.FlowTraffic{Packets: out/800 + 1, Bytes: out}
		all = append(all, f)
		if f.IsRefused() {
			total.Refused++
			return
		}
		total.Passed++
		total.In.Bytes += in
		total.Out.Bytes += out
	}
	tcp := ipproto.TCP
	open := tunnel.Flow{Kind: tunnel.FlowOpen, Proto: tcp, Initiator: filter.InitiatorPeer, Phase: filter.PhaseEstablished}
	f := open
	f.Src, f.Dst, f.Rule, f.PeerName = side("build", "10.9.0.30", 50112), side("db", "10.9.0.11", 5432), rule(13), "build"
	add(f, 2<<30, 40<<20, 55*time.Minute, time.Second)
	f.Src, f.Dst, f.Rule, f.PeerName = side("laptop", "10.9.0.20", 41000), side("web", "10.9.0.10", 443), rule(11), "laptop"
	add(f, 9<<20, 1<<30, 40*time.Minute, 2*time.Second)
	f.Kind, f.End, f.Src, f.Dst = tunnel.FlowEnded, tstun.FlowClosed, side("", "fd09::20", 41002), side("web", "fd09::10", 80)
	add(f, 1200, 88200, 31*time.Minute, 30*time.Minute)
	f.Kind, f.End, f.Proto, f.Initiator, f.Rule, f.Phase = tunnel.FlowOpen, tstun.FlowOpen, ipproto.UDP, filter.InitiatorHost, nil, filter.PhaseNew
	f.Src, f.Dst = side("web", "10.9.0.10", 40100), side("", "10.9.0.53", 53)
	add(f, 400, 220, 3*time.Minute, 2*time.Minute)
	r := tunnel.Flow{Kind: tunnel.FlowRefused, Proto: tcp, Initiator: filter.InitiatorPeer, Reason: filter.ReasonNoRule, PeerName: "phone"}
	r.Src, r.Dst, r.Nearest, r.NearestRule, r.Lacks = side("phone", "10.9.0.21", 0), side("web", "10.9.0.10", 8080), "rule 0, office.hujson:11:3, comes nearest: port 8080 is not in web:80,443", rule(11), []string{"port"}
	add(r, 3*800, 0, 29*time.Minute, 28*time.Minute)
	r.Kind, r.Src, r.Dst, r.Nearest, r.Lacks = tunnel.FlowForgotten, side("", "192.0.2.77", 0), tunnel.FlowSide{}, "", nil
	r.More = true
	add(r, 1190*800, 0, 30*time.Minute, 24*time.Minute)
	r.More, r.Src, r.Dst, r.Nearest = false, side("laptop", "10.9.0.20", 0), side("db", "10.9.0.11", 5432), "rule 2, office.hujson:13:3, comes nearest: laptop is not in web, build"
	add(r, 5*800, 0, 20*time.Minute, 19*time.Minute)
	r.Reason, r.Nearest, r.Proto, r.Initiator = filter.ReasonNoFlow, "", ipproto.ICMPv4, filter.InitiatorHost
	r.Dst.Port = 0
	add(r, 0, 2*800, 15*time.Minute, 15*time.Minute)
	return all, total
}
