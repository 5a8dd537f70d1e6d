package proxy_test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"tstun/cmd/tstun/internal/proxy"
)

// run runs a program, and returns what it prints and its exit code.
func run(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s: %v", name, err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Exit codes of curl(1).
const (
	curlHTTPError   = 22
	curlConnect     = 56 // the answer to CONNECT was no 200; some say 22
	curlProxyFailed = 97
)

func TestCurl(t *testing.T) {
	web := startWeb(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Method, " ", r.Host, r.URL.Path) })
	closed := listen(t)
	closed.Close()
	network, credentials := newLab(), proxy.Credentials{Username: "alice", Password: "se cret"}
	servers := map[string]string{
		"open": startSOCKS(t, &proxy.SOCKS5{Network: network}), "locked": startSOCKS(t, &proxy.SOCKS5{Network: network, Credentials: credentials}),
		"open http":   startHTTP(t, &proxy.HTTP{Network: network}),
		"locked http": startHTTP(t, &proxy.HTTP{Network: network, Credentials: credentials}),
	}
	byName, byAddr := fmt.Sprintf("far.example:%d", port(web)), far(web)
	refused, missing, self := far(closed.Addr()), "missing.example", fmt.Sprintf("localhost:%d", port(web))
	tests := []struct {
		scheme, server, user string
		args                 string
		host                 string
		want                 int
	}{
		{"socks5", "open", "", "", byAddr, 0},
		{"socks5h", "open", "", "", byName, 0},
		{"socks5h", "open", "alice:se cret", "", byName, 0}, // none is asked for
		{"socks5h", "locked", "alice:se cret", "", byName, 0},
		{"socks5h", "locked", "alice:guess", "", byName, curlProxyFailed},
		{"socks5h", "locked", "", "", byName, curlProxyFailed},
		{"socks5h", "open", "", "", refused, curlProxyFailed},
		{"socks5h", "open", "", "", missing, curlProxyFailed},
		{"socks5h", "open", "", "", self, curlProxyFailed},
		{"http", "open http", "", "", byName, 0},
		{"http", "open http", "", "-p", byName, 0},
		{"http", "locked http", "alice:se cret", "", byName, 0},
		{"http", "locked http", "alice:se cret", "-p", byName, 0},
		{"http", "locked http", "alice:guess", "", byName, curlHTTPError},
		{"http", "locked http", "", "-p", byName, curlConnect},
		{"http", "open http", "", "", refused, curlHTTPError},
		{"http", "open http", "", "-p", missing, curlConnect},
		{"http", "open http", "", "-p", self, curlConnect},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s %s %s %s %s", tt.scheme, tt.server, tt.user, tt.args, tt.host), func(t *testing.T) {
			args := []string{"-q", "-sS", "--fail", "--max-time", "60", "--noproxy", "", "--proxy", tt.scheme + "://" + servers[tt.server]}
			if tt.user != "" {
				args = append(args, "--proxy-user", tt.user)
			}
			out, code := run(t, "curl", append(append(args, strings.Fields(tt.args)...), "http://"+tt.host+"/x")...)
			if tt.want == curlConnect && code == curlHTTPError {
				code = tt.want
			}
			if code != tt.want || code == 0 && out != "GET "+tt.host+"/x" {
				t.Errorf("curl ends with %d: %s", code, out)
			}
		})
	}
}

// dig asks a name server through a forwarded UDP port.
func TestDig(t *testing.T) {
	server := listenUDP(t)
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if reply, err := answer(buf[:n]); err == nil {
				server.WriteToUDPAddrPort(reply, from)
			}
		}
	}()
	at := startForwardUDP(t, &proxy.Forward{To: newLab(), Destination: proxy.Endpoint{Host: far4.String(), Port: port(server.LocalAddr())}})
	for range 3 {
		out, code := run(t, "dig", "+short", "+tries=5", "+time=5", "-p", fmt.Sprint(at.Port()), "@127.0.0.1", "web.example", "A")
		if code != 0 || strings.TrimSpace(out) != "203.0.113.7" {
			t.Errorf("dig ends with %d: %s", code, out)
		}
	}
}

// answer returns the reply to a question: one address.
func answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	m.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
		Body:   &dnsmessage.AResource{A: [4]byte(net.IPv4(203, 0, 113, 7).To4())},
	}}
	return m.Pack()
}
