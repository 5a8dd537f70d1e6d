package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tstun/filter"
	"tstun/flowlog"
	"tstun/key"
	"tstun/tunnel"
)

const flowsPolicy = `{
	"hosts": {"web": "10.9.0.1", "laptop": "10.9.0.2"},
	"local": ["web"],
	"accept": [
		{"proto": "tcp", "src": "laptop", "dst": "web:80"},
	],
}`

// webAndLaptop returns two tunnels, of which the first has flowsPolicy, and a connection
// from the second to port 80 of the first.
func webAndLaptop(t *testing.T) (web, laptop *tunnel.Tunnel, c net.Conn) {
	t.Helper()
	ka, kb := key.NewPrivate(), key.NewPrivate()
	ca, cb := userspace(ka, kb), userspace(kb, ka)
	ca.Policy = filepath.Join(t.TempDir(), "policy.hujson")
	ca.Reject = tunnel.RejectNone // what is said of refusals is a flow of its own
	replace(t, ca.Policy, flowsPolicy)
	web = start(t, ca)
	cb.Addresses = prefixes("10.9.0.2/24")
	cb.Peers[0].AllowedIPs, cb.Peers[0].Required = prefixes("10.9.0.1/32"), true
	cb.Peers[0].Endpoint = fmt.Sprintf("127.0.0.1:%d", web.Status().ListenPort)
	laptop = start(t, cb)
	l, err := web.Listen(within(t), "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	c, err = laptop.DialContext(within(t), "tcp", "10.9.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	other := <-accepted
	t.Cleanup(func() { c.Close(); other.Close() })
	fmt.Fprint(c, "hello")
	if _, err := other.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	return web, laptop, c
}

// forget tries to open a connection to a port that the policy forgot, until that is refused.
func forget(t *testing.T, web, laptop *tunnel.Tunnel) {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		c, err := laptop.DialContext(ctx, "tcp", "10.9.0.1:8080")
		if err == nil {
			c.Close()
		}
		ended <- err
	}()
	for web.Status().Counters.In.Drops[filter.ReasonNoRule] == 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("port 8080: %v", err)
	}
}

// flows returns what a query wants.
func flows(t *testing.T, tun *tunnel.Tunnel, q tunnel.FlowQuery) (all []tunnel.Flow, total tunnel.FlowTotal) {
	t.Helper()
	l, err := tun.Flows(q)
	if err != nil {
		t.Fatal(err)
	}
	for f := range l.All {
		all = append(all, *f)
	}
	if l.Total.Shown != len(all) {
		t.Errorf("%d flows, and a total that says %+v", len(all), l.Total)
	}
	return all, l.Total
}

// Connections have names, who began them and the rule that let them in; what was refused
// has the reason, the nearest rule and what that lacks.
func TestFlows(t *testing.T) {
	web, laptop, c := webAndLaptop(t)
	w, err := web.WatchFlows(func(r *flowlog.Record) bool { return r.Kind != flowlog.RefusedEnded })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	events := web.Events(within(t))
	forget(t, web, laptop)
	all, total := flows(t, web, tunnel.FlowQuery{})
	if len(all) != 2 || total.Passed != 1 || total.Refused != 1 || total.Dropped.Packets == 0 || total.In.Bytes == 0 {
		t.Fatalf("flows %+v, total %+v", all, total)
	}
	open, refused := &all[0], &all[1]
	if got := open.String(); !strings.HasPrefix(got, "tcp from laptop (10.9.0.2) to web:80 (10.9.0.1)") {
		t.Errorf("the connection is called %s", got)
	}
	if open.Kind != tunnel.FlowOpen || open.Initiator != filter.InitiatorPeer || open.PeerName != "other" || open.Peer != web.Status().Peers[0].PublicKey ||
		open.Rule == nil || open.Rule.Line != 5 || open.Rule.Index != 0 || filepath.Base(open.Rule.File) != "policy.hujson" ||
		open.In.Packets < 2 || open.Out.Packets < 1 || open.Phase != filter.PhaseEstablished || open.Src.Port == 0 {
		t.Errorf("the connection is %+v", open)
	}
	if got := refused.String(); got != "tcp from laptop (10.9.0.2) to web:8080 (10.9.0.1)" {
		t.Errorf("the refused flow is called %s", got)
	}
	if refused.Kind != tunnel.FlowRefused || refused.Reason != filter.ReasonNoRule || !slices.Equal(refused.Lacks, []string{"port"}) ||
		refused.NearestRule == nil || refused.NearestRule.Line != 5 || !strings.Contains(refused.Nearest, "port 8080 is not in web:80") || refused.In.Packets == 0 {
		t.Errorf("the refused flow is %+v", refused)
	}

	// It is an event, once, and whoever watches is told.
	e := nextOf(within(t), t, events, tunnel.FlowFirstRefused)
	if e.PeerName != "other" || e.Flow == nil || e.Flow.Dst.Port != 8080 || !strings.HasPrefix(e.Text, refused.String()+": no-rule; rule 0, ") || !strings.HasSuffix(e.Text, "port 8080 is not in web:80") {
		t.Errorf("event %+v", e)
	}
	if f, err := w.Next(within(t)); err != nil || f.Kind != tunnel.FlowRefused || f.Dst.Name != "web" || f.Lost != 0 {
		t.Errorf("watched %+v, %v", f, err)
	}

	// What is chosen and how many.
	if all, total := flows(t, web, tunnel.FlowQuery{Match: func(r *flowlog.Record) bool { return r.Kind.IsRefused() }}); len(all) != 1 || total.Passed != 0 {
		t.Errorf("refused ones: %+v", all)
	}
	for range 3 {
		d, err := laptop.DialContext(within(t), "tcp", "10.9.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
	}
	fmt.Fprint(c, strings.Repeat("x", 4000))
	var first tunnel.Flow
	for ctx := within(t); first.In.Bytes < 4000; time.Sleep(time.Millisecond) {
		all, total := flows(t, web, tunnel.FlowQuery{Limit: 1})
		if len(all) != 2 || total.Passed != 4 || total.Refused != 1 || !all[1].IsRefused() {
			t.Fatalf("the first ones %+v, total %+v", all, total)
		}
		if first = all[0]; ctx.Err() != nil {
			t.Fatalf("the first is %+v", first)
		}
	}

	// Under a policy that allows it by now, the record says which rule would.
	s := web.Status()
	replace(t, s.Policy.File, strings.Replace(flowsPolicy, "web:80", "web:80,8080", 1))
	if err := web.ReloadPolicy(); err != nil {
		t.Fatal(err)
	}
	all, _ = flows(t, web, tunnel.FlowQuery{Match: func(r *flowlog.Record) bool { return r.Kind.IsRefused() }})
	if len(all) != 1 || all[0].AllowedNow == nil || all[0].AllowedNow.Line != 5 || all[0].Nearest != "" {
		t.Errorf("under the next policy: %+v", all)
	}
}

// What ended can be asked for, as long as it is remembered.
func TestFlowsSince(t *testing.T) {
	web, laptop, _ := webAndLaptop(t)
	begun := time.Now()
	forget(t, web, laptop)
	l, err := web.Flows(tunnel.FlowQuery{Since: begun.Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for f := range l.All {
		if f.Src.Name != "laptop" {
			t.Errorf("flow %+v", f)
		}
	}
	if l.Total.Passed != 1 || l.Total.Refused != 1 {
		t.Errorf("total %+v", l.Total)
	}
	if all, _ := flows(t, web, tunnel.FlowQuery{Since: time.Now().Add(time.Hour)}); len(all) != 1 || all[0].Kind != tunnel.FlowOpen {
		t.Errorf("of the future %+v", all)
	}
}

// A tunnel whose Config wants no records keeps none.
func TestWithoutRecords(t *testing.T) {
	c := userspace(key.NewPrivate(), key.NewPrivate())
	c.RecordMemory = -1
	tun := start(t, c)
	if _, err := tun.Flows(tunnel.FlowQuery{}); !errors.Is(err, tunnel.ErrNoRecords) {
		t.Errorf("flows: %v", err)
	}
	if _, err := tun.WatchFlows(nil); !errors.Is(err, tunnel.ErrNoRecords) {
		t.Errorf("watch: %v", err)
	}
}

// Whoever watches is told of the end, and Close waits for nobody who does not read.
func TestFlowsAtTheEnd(t *testing.T) {
	tun := start(t, userspace(key.NewPrivate(), key.NewPrivate()))
	w, err := tun.WatchFlows(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := tun.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Next(context.Background()); !errors.Is(err, flowlog.ErrClosed) {
		t.Errorf("watch: %v", err)
	}
	if all, _ := flows(t, tun, tunnel.FlowQuery{Since: time.Now()}); len(all) != 0 {
		t.Errorf("flows %+v", all)
	}
}
