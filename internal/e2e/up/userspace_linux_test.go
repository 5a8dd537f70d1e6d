package up_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// webSize is how much a web server sends, in bytes.
const webSize = 256 << 10

// webSum is the SHA-256 of what it sends.
var webSum = func() string {
	h := sha256.New()
	_, _ = io.Copy(h, webBody())
	return hex.EncodeToString(h.Sum(nil))
}()

func webBody() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), webSize) }

// serveWeb serves webBody.
func serveWeb(l net.Listener) {
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, webBody()) }))
}

// serveNames answers that each name is at an address, and a name that begins
// with "none" nowhere.
func serveNames(c net.PacketConn, at netip.Addr) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply, err := answer(buf[:n], at); err == nil {
			_, _ = c.WriteTo(reply, from)
		}
	}
}

func answer(query []byte, at netip.Addr) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	q := m.Questions[0]
	switch {
	case strings.HasPrefix(q.Name.String(), "none"):
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: at.As4()},
		}}
	}
	return m.Pack()
}

// TestUserspace joins a host without root's help to a kernel, by all that up
// serves. The name server is beyond the tunnel.
func TestUserspace(t *testing.T) {
	t.Parallel()
	a, b := neighbours(t)
	ca, cb := configs("192.0.2.2:51820")
	ca.lines += "\nDNS = 10.9.0.2, corp.example"
	a.unchanged(func() {
		b.up(cb)
		n := a.up(ca, "--mode", "userspace", "--socks5", "1080", "--http-proxy", "8080",
			"--forward", "tcp:8000=web.example:80", "--forward", "tcp:5201=10.9.0.2:5201", "--forward", "udp:5353=10.9.0.2:53",
			"--expose", "tcp:80=127.0.0.1:80", "--expose", "udp:53=127.0.0.1:53")
		go serveNames(b.listenPacket("10.9.0.2:53"), netip.MustParseAddr("10.9.0.2"))
		for _, at := range []string{"10.9.0.2:80", "[fd09::2]:80"} {
			go serveWeb(b.listen(at))
		}
		t.Run("through proxies", a.curls)
		wantSOCKSName(t, a.Do, "10.9.0.2:53")
		a.wantName("127.0.0.1", "-p", "5353")
		a.wantForwarded(b)
		go serveNames(a.listenPacket("127.0.0.1:53"), netip.MustParseAddr("10.9.0.2"))
		go serveWeb(a.listen("127.0.0.1:80"))
		b.wantWeb("http://10.9.0.1/")
		b.wantWeb("http://[fd09::1]/")
		b.wantName("10.9.0.1")
		b.wantName("fd09::1")
		b.ping("10.9.0.1")
		b.ping("fd09::1")
		n.stop()
	})
}

// curl returns what a web server sends, as a hash.
func (h *host) curl(args ...string) (sum string, err error) {
	const hashed = `set -o pipefail; curl -q -sS --fail --max-time 110 --noproxy "" "$@" | sha256sum`
	out, err := h.try("bash", append([]string{"-c", hashed, "bash"}, args...)...)
	sum, _, _ = strings.Cut(out, " ")
	return sum, err
}

func (h *host) wantWeb(args ...string) {
	h.t.Helper()
	if sum, err := h.curl(args...); err != nil || sum != webSum {
		h.t.Errorf("curl %v: %v, %s", args, err, sum)
	}
}

// wantName asks a name server by dig(1).
func (h *host) wantName(server string, args ...string) {
	h.t.Helper()
	out := h.run("dig", append([]string{"+short", "+tries=5", "+time=5", "@" + server, "web.example", "A"}, args...)...)
	if strings.TrimSpace(out) != "10.9.0.2" {
		h.t.Errorf("dig @%s: %s", server, out)
	}
}

// wantForwarded transfers through a forwarded port.
func (h *host) wantForwarded(to *host) {
	h.t.Helper()
	h.wantWeb("http://127.0.0.1:8000/")
	to.daemon("iperf3", "-s", "-1", "-B", "10.9.0.2", "-p", "5201", "--forceflush").await(0, "Server listening")
	r := h.daemon("iperf3", "-c", "127.0.0.1", "-p", "5201", "-J", "-R", "-n", fmt.Sprint(tcpSize)).report()
	if r.End.Received.Bytes < tcpSize {
		h.t.Errorf("%d of %d bytes through a forwarded port", r.End.Received.Bytes, tcpSize)
	}
}

// curls downloads through each kind of proxy, by address and by name, and wants
// what there is not to be told. All are at work at once.
func (h *host) curls(t *testing.T) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, proxy := range []string{"-x socks5h://127.0.0.1:1080", "-x http://127.0.0.1:8080", "-x http://127.0.0.1:8080 -p"} {
		for url, there := range map[string]bool{
			"http://10.9.0.2/": true, "http://[fd09::2]/": true, "http://web.example/": true, "http://web/": true,
			"http://none.example/": false, "http://10.9.0.2:81/": false, "http://127.0.0.1/": false, "http://localhost/": false,
		} {
			all.Go(func() {
				if sum, err := h.curl(append(strings.Fields(proxy), url)...); (err == nil && sum == webSum) != there || there == (err != nil) {
					t.Errorf("curl %s %s: %v, %s", proxy, url, err, sum)
				}
			})
		}
	}
}
