package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"tstun/cmd/tstun/internal/ui"
	"tstun/ipproto"
	"tstun/packet"
)

// promptly bounds what an answer may take that comes from the same machine.
const promptly = 5 * time.Second

func (d *demo) handshake(ctx context.Context) ([]string, any, error) {
	if err := d.server.addPeer(d.client, 0); err != nil {
		return nil, nil, err
	}
	if err := d.client.addPeer(d.server, 25*time.Second); err != nil {
		return nil, nil, err
	}
	for _, n := range []*node{d.client, d.server} {
		if err := eventually(ctx, func() (bool, error) { return hasHandshake(n.dev) }); err != nil {
			return nil, nil, ui.Failf("is UDP to 127.0.0.1 blocked by a host firewall?", "%s: no handshake: %w", n.name, err)
		}
	}
	data := handshakeData{d.client.endpoint(), d.server.endpoint()}
	return []string{fmt.Sprintf("%v and %v share session keys", data.From, data.To)}, data, nil
}

// attempts is how many requests ping sends before it gives up, one in each
// pingEvery.
const (
	attempts  = 5
	pingEvery = time.Second
)

func (d *demo) ping(ctx context.Context) (lines []string, data any, err error) {
	var replies []pingReply
	for _, a := range d.server.addrs() {
		r, took, err := d.pingOne(ctx, a)
		if err != nil {
			return lines, pingData{replies}, err
		}
		replies = append(replies, r)
		line := fmt.Sprintf("%v answers after %s", a, ui.Duration(took))
		if r.Lost > 0 {
			line += fmt.Sprintf(", %d requests were lost before", r.Lost)
		}
		lines = append(lines, line)
	}
	return lines, pingData{replies}, nil
}

// pingOne sends requests until one is answered, as ping(8) does: any of them
// may be lost, and a kernel that has just got its address may not use it yet.
func (d *demo) pingOne(ctx context.Context, a netip.Addr) (r pingReply, took time.Duration, err error) {
	for r.Address = a; r.Lost < attempts; r.Lost++ {
		one, cancel := context.WithTimeout(ctx, pingEvery)
		took, err = d.client.net.Ping(one, a)
		cancel()
		if err == nil {
			r.Milliseconds = ui.Milliseconds(took)
			return r, took, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return r, 0, fmt.Errorf("%v: %w", a, err)
}

const page = "Hello from the server, through WireGuard and a packet filter.\n" +
	"This is the second line of the page.\n"

func (d *demo) http(ctx context.Context) ([]string, any, error) {
	l, err := d.server.net.Listen("tcp", d.server.addrPort(portHTTP).String())
	if err != nil {
		return nil, nil, err
	}
	srv := &http.Server{
		ReadHeaderTimeout: promptly,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, page) }),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }() // until Close
	defer func() {
		srv.Close()
		<-served
	}()
	data := httpData{URL: "http://" + d.server.v4.String() + "/"}
	body, status, err := d.get(ctx, data.URL)
	if err != nil {
		return nil, data, err
	}
	data.Status = status
	data.FirstLine, _, _ = strings.Cut(body, "\n")
	if body != page {
		return nil, data, fmt.Errorf("the page arrived changed: %q", body)
	}
	return []string{fmt.Sprintf("GET %s: %s", data.URL, data.Status), fmt.Sprintf("%q", data.FirstLine)}, data, nil
}

// get fetches a page on a connection of its own, through the client.
func (d *demo) get(ctx context.Context, url string) (body, status string, err error) {
	c := http.Client{
		Timeout:   promptly,
		Transport: &http.Transport{DialContext: d.client.net.DialContext, DisableKeepAlives: true},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(b), resp.Status, err
}

func (d *demo) refused(ctx context.Context) ([]string, any, error) {
	to := d.server.addrPort(portSSH)
	w := d.watch(d.server, netip.AddrPortFrom(d.client.v4, 0), to, ipproto.TCP)
	ctx, cancel := context.WithTimeout(ctx, promptly)
	defer cancel()
	began := time.Now()
	c, err := d.client.net.DialContext(ctx, "tcp", to.String())
	took := time.Since(began)
	if err == nil {
		c.Close()
		return nil, nil, fmt.Errorf("%v was let in, which no rule allows", to)
	}
	data := refusedData{Error: err.Error(), Milliseconds: ui.Milliseconds(took)}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil, data, fmt.Errorf("%v was not refused: %w", to, err)
	}
	lines, drop, err := w.result(ctx)
	data.dropData = drop
	return append([]string{fmt.Sprintf("%v: connection refused after %s", to, ui.Duration(took))}, lines...), data, err
}

func (d *demo) udp(ctx context.Context) ([]string, any, error) {
	echo, err := d.server.net.ListenPacket("udp", d.server.addrPort(portEcho).String())
	if err != nil {
		return nil, nil, err
	}
	defer echo.Close()
	c, err := d.client.net.DialContext(ctx, "udp", d.server.addrPort(portEcho).String())
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	if err := errors.Join(c.SetDeadline(time.Now().Add(promptly)), echo.SetDeadline(time.Now().Add(promptly))); err != nil {
		return nil, nil, err
	}
	var data udpData
	if data.Reply, err = exchange(c, echo, "is anybody there?"); err != nil {
		return nil, data, err
	}
	lines := []string{fmt.Sprintf("%v to %v and back: %q", c.LocalAddr(), c.RemoteAddr(), data.Reply)}
	to, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return lines, data, err
	}
	more, drop, err := d.unsolicited(ctx, to)
	data.Unsolicited = drop
	return append(lines, more...), data, err
}

// exchange sends text from c, echoes it, and returns what came back.
func exchange(c net.Conn, echo net.PacketConn, text string) (string, error) {
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	buf := make([]byte, 1024)
	n, from, err := echo.ReadFrom(buf)
	if err != nil {
		return "", fmt.Errorf("request: %w", err)
	}
	if _, err := echo.WriteTo(buf[:n], from); err != nil {
		return "", err
	}
	n, err = c.Read(buf)
	if err == nil && string(buf[:n]) != text {
		err = fmt.Errorf("the reply is %q", buf[:n])
	}
	if err != nil {
		return "", fmt.Errorf("reply: %w", err)
	}
	return string(buf[:n]), nil
}

// unsolicited sends to the client's open socket from a port of the server that
// the client has not talked to.
func (d *demo) unsolicited(ctx context.Context, to netip.AddrPort) ([]string, dropData, error) {
	other, err := d.server.net.ListenPacket("udp", d.server.addrPort(0).String())
	if err != nil {
		return nil, dropData{}, err
	}
	defer other.Close()
	from, err := netip.ParseAddrPort(other.LocalAddr().String())
	if err != nil {
		return nil, dropData{}, err
	}
	w := d.watch(d.client, from, to, ipproto.UDP)
	if _, err := other.WriteTo([]byte("hello?"), net.UDPAddrFromAddrPort(to)); err != nil {
		return nil, dropData{}, err
	}
	lines, drop, err := w.result(ctx)
	return append([]string{fmt.Sprintf("%v to %v, which it did not ask for: dropped", from, to)}, lines...), drop, err
}

func (d *demo) tsmp(ctx context.Context) ([]string, any, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, promptly)
	defer cancel()
	if err := d.tsmpRoundTrip(ctx); err != nil {
		return nil, nil, err
	}
	took := time.Since(began)
	return []string{fmt.Sprintf("%v answers after %s; neither host's network stack saw it", d.server.v4, ui.Duration(took))},
		tsmpData{d.server.v4, ui.Milliseconds(took)}, nil
}

// tsmpRoundTrip sends a TSMP ping from the client's Wrapper to the server's and
// waits for the pong.
func (d *demo) tsmpRoundTrip(ctx context.Context) error {
	ping := packet.TSMPPing{IPHeader: packet.IPHeader{Src: d.client.v4, Dst: d.server.v4}}
	rand.Read(ping.Data[:]) // never fails, by its documentation
	pongs := make(chan struct{}, 1)
	listen := func(r packet.TSMPPongReply) {
		if r.Data == ping.Data {
			select {
			case pongs <- struct{}{}:
			default:
			}
		}
	}
	d.client.pong.Store(&listen)
	defer d.client.pong.Store(nil)
	if err := d.client.wrapper.InjectOutbound(packet.Generate(ping, nil)); err != nil {
		return err
	}
	select {
	case <-pongs:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no pong: %w", ctx.Err())
	}
}
