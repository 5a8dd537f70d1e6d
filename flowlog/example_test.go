package flowlog_test

import (
	"context"
	"fmt"
	"time"

	"tstun"
	"tstun/filter"
	"tstun/flowexpr"
	"tstun/flowlog"
	"tstun/internal/rig"
	"tstun/internal/rig/craft"
	"tstun/packet"
)

// What happened in the last ten minutes, as far as an expression wants it.
func ExampleLog_Since() {
	w := tstun.Wrap(nil, tstun.NewFake())
	defer w.Close()
	w.SetFilter(filter.NewAllowNone(nil))
	log := flowlog.New(w, flowlog.Config{})
	defer log.Close()

	syn := craft.TCP(craft.Peer4, 40000, craft.Host4, 22, packet.TCPSyn, "")
	_, _ = w.Write(rig.Wire(syn), tstun.PacketStartOffset) // as WireGuard does

	expr, err := flowexpr.Compile("dropped and port 22", flowexpr.Options{Records: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	for r := range log.Since(time.Now().Add(-10 * time.Minute)) {
		f := r.Refused
		subject := flowexpr.Refused(f.Proto, f.Src, f.Dst, f.Direction, f.Reason)
		if r.Kind.IsRefused() && expr.Match(&subject) {
			fmt.Println(r)
		}
	}
	// Output:
	// refused in tcp 100.64.0.2:40000 > 100.64.0.1:22, reason no-rule, 1 packets, 40 bytes
}

// A subscriber is told of flows as they begin, end and are refused.
func ExampleLog_Subscribe() {
	w := tstun.Wrap(nil, tstun.NewFake())
	defer w.Close()
	w.SetFilter(filter.NewAllowAll(nil))
	log := flowlog.New(w, flowlog.Config{})
	defer log.Close()
	s := log.Subscribe(flowlog.Options{})
	defer s.Close()

	syn := craft.TCP(craft.Peer4, 40000, craft.Host4, 22, packet.TCPSyn, "")
	_, _ = w.Write(rig.Wire(syn), tstun.PacketStartOffset)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := s.Next(ctx)
	fmt.Println(r, err)
	// Output:
	// began in tcp 100.64.0.2:40000 > 100.64.0.1:22 <nil>
}
