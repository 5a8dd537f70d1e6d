// Package netstack compares tstun's userspace network stack with
// wireguard-go's, both over wireguard-go devices on loopback.
//
//	go -C bench test -run '^$' -bench . -benchtime 20x ./netstack
//
// Each iteration runs all, by turns; reported is the median of the ratios to
// wireguard-go's. "tstun" sends and receives WireGuard's datagrams by package
// bind, as package tunnel does; "tstun-alone" by wireguard-go's own Bind, which
// is the other's too.
package netstack

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	wgnetstack "golang.zx2c4.com/wireguard/tun/netstack"

	"tstun"
	"tstun/bind"
	"tstun/filter"
	"tstun/internal/rig"
	"tstun/netstack"
)

const mtu = 1420

var addrs = [2]netip.Addr{netip.MustParseAddr("100.64.7.1"), netip.MustParseAddr("100.64.7.2")}

// sockets is what a stack gives a program.
type sockets interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// end is one end of a tunnel.
type end struct {
	sockets
	listen    func(port int) (net.Listener, error)
	listenUDP func(port int) (net.PacketConn, error)
}

// candidate makes the two ends of a tunnel.
type candidate struct {
	name string
	make func(tb testing.TB, i int) (end, tun.Device)
	bind func() conn.Bind
}

// candidates are compared with the last of them.
var candidates = [...]candidate{
	{"tstun", makeTstun, bind.New},
	{"tstun-alone", makeTstun, conn.NewDefaultBind},
	{"wireguard-go", makeWireGuard, conn.NewDefaultBind},
}

func makeTstun(tb testing.TB, i int) (end, tun.Device) {
	w := tstun.Wrap(nil, tstun.NewFake())
	w.SetFilter(filter.NewAllowAll(nil))
	s, err := netstack.New(w, netstack.Config{Addrs: addrs[i : i+1], MTU: mtu})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return end{
		s,
		func(port int) (net.Listener, error) { return s.Listen("tcp", fmt.Sprintf(":%d", port)) },
		func(port int) (net.PacketConn, error) { return s.ListenPacket("udp", fmt.Sprintf(":%d", port)) },
	}, w
}

func makeWireGuard(tb testing.TB, i int) (end, tun.Device) {
	dev, n, err := wgnetstack.CreateNetTUN(addrs[i:i+1], nil, mtu)
	if err != nil {
		tb.Fatal(err)
	}
	return end{
		n,
		func(port int) (net.Listener, error) { return n.ListenTCP(&net.TCPAddr{Port: port}) },
		func(port int) (net.PacketConn, error) { return n.ListenUDP(&net.UDPAddr{Port: port}) },
	}, dev
}

// tunnel is both ends, joined by WireGuard.
func (c candidate) tunnel(tb testing.TB) [2]end {
	var ends [2]end
	var devs [2]*device.Device
	keys := [2]string{}
	ports := [2]int{}
	private := [2]func(port int) string{}
	for i := range ends {
		key := rig.NewKey(tb)
		keys[i] = hex.EncodeToString(key.PublicKey().Bytes())
		private[i] = func(port int) string { return rig.Interface(key, port) }
		ports[i] = freePort(tb)
		var dev tun.Device
		ends[i], dev = c.make(tb, i)
		devs[i] = device.NewDevice(dev, c.bind(), device.NewLogger(device.LogLevelSilent, ""))
		tb.Cleanup(devs[i].Close)
	}
	for i, d := range devs {
		peer := fmt.Sprintf("public_key=%s\nendpoint=127.0.0.1:%d\nallowed_ip=%v/32\n", keys[1-i], ports[1-i], addrs[1-i])
		if err := d.IpcSet(private[i](ports[i]) + peer); err != nil {
			tb.Fatal(err)
		}
		if err := d.Up(); err != nil {
			tb.Fatal(err)
		}
	}
	return ends
}

func freePort(tb testing.TB) int {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// versus runs what of each candidate by turns, and reports the median of how
// many times faster tstun was, and both times.
func versus(b *testing.B, what func(tb testing.TB, ends [2]end) func()) {
	compare(b, "ms", func(tb testing.TB, ends [2]end) func() float64 {
		run := what(tb, ends)
		return func() float64 {
			began := time.Now()
			run()
			return time.Since(began).Seconds() * 1e3
		}
	}, func(own, other float64) float64 { return other / own })
}

// compare runs what of each candidate by turns, and reports the median of the
// ratios of what it returned, and the medians of that in its unit.
func compare(b *testing.B, unit string, what func(tb testing.TB, ends [2]end) func() float64, ratio func(own, other float64) float64) {
	var runs [len(candidates)]func() float64
	for i, c := range candidates {
		runs[i] = what(b, c.tunnel(b))
		runs[i]() // handshake, and what else is done once
	}
	var ratios, results [len(candidates)][]float64
	const baseline = len(candidates) - 1
	for n := 0; b.Loop(); n++ {
		var got [len(candidates)]float64
		for j := range runs {
			i := (j + n) % len(runs)
			got[i] = runs[i]()
			results[i] = append(results[i], got[i])
		}
		for i := range baseline {
			ratios[i] = append(ratios[i], ratio(got[i], got[baseline]))
		}
	}
	for i, c := range candidates {
		b.ReportMetric(median(results[i]), unit+"/"+c.name)
		if i != baseline {
			b.ReportMetric(median(ratios[i]), "x/"+c.name)
		}
	}
	b.ReportMetric(0, "ns/op")
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// BenchmarkTransfer sends 64 MiB, divided among the streams.
func BenchmarkTransfer(b *testing.B) {
	for _, streams := range []int{1, 8} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			versus(b, func(tb testing.TB, ends [2]end) func() {
				l := listen(tb, ends[1], 80)
				go serve(l, func(c net.Conn) { io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{c}, make([]byte, 256<<10)) })
				return func() { each(streams, func() { send(tb, ends[0], (64<<20)/streams) }) }
			})
		})
	}
}

// send opens a connection, sends n bytes and waits until the other end has
// read them.
func send(tb testing.TB, from end, n int) {
	c := dial(tb, from, 80)
	defer c.Close()
	block := make([]byte, 256<<10)
	for sent := 0; sent < n; sent += len(block) {
		if _, err := c.Write(block); err != nil {
			tb.Error(err)
			return
		}
	}
	c.(interface{ CloseWrite() error }).CloseWrite()
	c.Read(block[:1]) // the end of the stream, or a reset after it
}

// BenchmarkConnections opens 500 connections, each of which carries a byte both
// ways.
func BenchmarkConnections(b *testing.B) {
	for _, at := range []int{1, 16} {
		b.Run(fmt.Sprint(at), func(b *testing.B) {
			versus(b, func(tb testing.TB, ends [2]end) func() {
				l := listen(tb, ends[1], 80)
				go serve(l, func(c net.Conn) { io.Copy(c, c) })
				return func() {
					each(at, func() {
						for range 500 / at {
							echo(tb, ends[0])
						}
					})
				}
			})
		})
	}
}

func echo(tb testing.TB, from end) {
	c := dial(tb, from, 80)
	defer c.Close()
	toAndFro(tb, c)
}

func toAndFro(tb testing.TB, c net.Conn) {
	var b [1]byte
	if _, err := c.Write(b[:]); err != nil {
		tb.Error(err)
	}
	if _, err := c.Read(b[:]); err != nil {
		tb.Error(err)
	}
}

// BenchmarkEcho sends a byte to and fro 2,000 times over a connection that is
// kept.
func BenchmarkEcho(b *testing.B) {
	versus(b, func(tb testing.TB, ends [2]end) func() {
		l := listen(tb, ends[1], 80)
		go serve(l, func(c net.Conn) { io.CopyBuffer(onlyWriter{c}, onlyReader{c}, make([]byte, 64)) })
		c := dial(tb, ends[0], 80)
		tb.Cleanup(func() { c.Close() })
		return func() {
			for range 2000 {
				toAndFro(tb, c)
			}
		}
	})
}

// BenchmarkHTTP makes 500 requests over connections that are kept.
func BenchmarkHTTP(b *testing.B) {
	for _, at := range []int{1, 16} {
		b.Run(fmt.Sprint(at), func(b *testing.B) {
			versus(b, func(tb testing.TB, ends [2]end) func() {
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })}
				go server.Serve(listen(tb, ends[1], 80))
				tb.Cleanup(func() { server.Close() })
				client := &http.Client{Transport: &http.Transport{DialContext: ends[0].DialContext, MaxIdleConnsPerHost: at}}
				tb.Cleanup(client.CloseIdleConnections)
				return func() {
					each(at, func() {
						for range 500 / at {
							get(tb, client)
						}
					})
				}
			})
		})
	}
}

func get(tb testing.TB, client *http.Client) {
	r, err := client.Get("http://" + addrs[1].String())
	if err != nil {
		tb.Error(err)
		return
	}
	io.Copy(io.Discard, r.Body)
	r.Body.Close()
}

func listen(tb testing.TB, e end, port int) net.Listener {
	l, err := e.listen(port)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

func serve(l net.Listener, f func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			f(c)
			c.Close()
		}()
	}
}

func dial(tb testing.TB, from end, port int) net.Conn { return dialTo(tb, from, "tcp", port) }

func dialTo(tb testing.TB, from end, network string, port int) net.Conn {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := from.DialContext(ctx, network, netip.AddrPortFrom(addrs[1], uint16(port)).String())
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func each(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(f)
	}
	wg.Wait()
}

type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }
