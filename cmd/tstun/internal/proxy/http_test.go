package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"tstun/cmd/tstun/internal/proxy"
)

// startWeb starts an HTTP server on loopback.
func startWeb(t testing.TB, handle http.HandlerFunc) net.Addr {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.Listener.Addr()
}

// exchange sends bytes to a proxy, and returns its answer and what is left of
// the connection.
func exchange(t testing.TB, server, in string) (*http.Response, *bufio.Reader, *net.TCPConn) {
	t.Helper()
	c := dial(t, server)
	send(t, c, []byte(in))
	r := bufio.NewReader(c)
	method, _, _ := strings.Cut(in, " ")
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return resp, r, c
}

func body(t testing.TB, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	resp.Body.Close()
	return string(b)
}

// What is for this hop stays here; all else passes as it was written.
func TestHTTPPlainRequest(t *testing.T) {
	seen := make(chan string, 1)
	web := startTCP(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		var head strings.Builder
		for {
			line, err := r.ReadString('\n')
			head.WriteString(line)
			if err != nil || line == "\r\n" {
				break
			}
		}
		data := make([]byte, 4)
		io.ReadFull(r, data)
		seen <- head.String() + string(data)
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 418 Teapot\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-End: 2\r\n\r\nhi")
	})
	server := startHTTP(t, &proxy.HTTP{Network: newLab(), Credentials: proxy.Credentials{Username: "alice", Password: "secret"}})
	host := fmt.Sprintf("far.example:%d", port(web))
	resp, r, _ := exchange(t, server, "POST http://"+host+"/a%2fb?x=1;y=%zz HTTP/1.1\r\nHost: another\r\nContent-Length: 4\r\n"+
		"Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\nProxy-Connection: keep-alive\r\nConnection: X-Mine\r\nX-Mine: 1\r\nTE: gzip\r\n"+
		"X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1\r\nAuthorization: theirs\r\nX-Kept: 2\r\n\r\ndata")
	want := "POST /a%2fb?x=1;y=%zz HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 4\r\nAuthorization: theirs\r\nForwarded: for=1\r\nX-Forwarded-For: 1.2.3.4\r\nX-Kept: 2\r\n\r\ndata"
	if got := within(t, "the request", seen); got != want {
		t.Errorf("the server got\n%s\nwant\n%s", got, want)
	}
	if got := fmt.Sprint(resp.StatusCode, resp.Header); got != "103 map[Link:[</x>]]" {
		t.Errorf("the client got %s", got)
	}
	resp, err := http.ReadResponse(r, &http.Request{Method: "POST"})
	if err != nil {
		t.Fatal(err)
	}
	delete(resp.Header, "Date") // a proxy adds it, RFC 9110 §6.6.1
	if got := fmt.Sprint(resp.StatusCode, resp.Header, body(t, resp)); got != "418 map[Content-Length:[2] X-End:[2]]hi" {
		t.Errorf("the client got %s", got)
	}
}

func TestHTTPConnect(t *testing.T) {
	echo := startEcho(t)
	server := startHTTP(t, &proxy.HTTP{Network: newLab()})
	for _, host := range []string{"192.0.2.1", "[::ffff:192.0.2.1]", "far.example", "second.example"} {
		t.Run(host, func(t *testing.T) {
			// The data comes in one segment with the request.
			resp, r, c := exchange(t, server, fmt.Sprintf("CONNECT %s:%d HTTP/1.1\r\nHost: x\r\n\r\nhello", host, port(echo)))
			if resp.StatusCode != 200 || len(resp.Header) != 0 {
				t.Fatalf("%v %v", resp.Status, resp.Header)
			}
			send(t, c, []byte(", world"))
			c.CloseWrite() // the rest comes all the same
			if got, err := io.ReadAll(r); err != nil || string(got) != "hello, world" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// Each refusal has its code and says why.
func TestHTTPRefusals(t *testing.T) {
	closed := listen(t)
	closed.Close()
	locked := startHTTP(t, &proxy.HTTP{Network: newLab(), Credentials: proxy.Credentials{Username: "alice", Password: "secret"}})
	open := startHTTP(t, &proxy.HTTP{Network: newLab(), Limits: proxy.Limits{Dial: 50 * time.Millisecond}})
	gone := far(closed.Addr())
	tests := []struct {
		name   string
		server string
		line   string
		header string
		want   int
		text   string
	}{
		{"refused", open, "CONNECT " + gone, "", 502, "refused"},
		{"refused, plain", open, "GET http://" + gone + "/", "", 502, "refused"},
		{"no such name", open, "CONNECT missing.example:80", "", 502, "no such host"},
		{"no such name, plain", open, "GET http://missing.example/", "", 502, "no such host"},
		{"no network", open, "CONNECT 198.51.100.1:80", "", 502, "unreachable"},
		{"no time left", open, "CONNECT 192.0.2.99:80", "", 504, "deadline"},
		{"no time left, plain", open, "GET http://192.0.2.99/", "", 504, "deadline"},
		{"the host", open, "CONNECT localhost:80", "", 403, "loopback"},
		{"the host, plain", open, "GET http://localhost/", "", 403, "loopback"},
		{"no port", open, "CONNECT far.example", "", 400, "host:port"},
		{"named port", open, "CONNECT far.example:https", "", 400, ""},
		{"no host", open, "CONNECT :80", "", 400, ""},
		{"not for a proxy", open, "GET /", "", 400, "whole URL"},
		{"OPTIONS *", open, "OPTIONS *", "", 400, "whole URL"},
		{"https", open, "GET https://far.example/", "", 400, "CONNECT"},
		{"no password", locked, "CONNECT " + gone, "", 407, "password"},
		{"no password, plain", locked, "GET http://" + gone + "/", "", 407, "password"},
		{"wrong password", locked, "CONNECT " + gone, "Proxy-Authorization: Basic YWxpY2U6d3Jvbmc=\r\n", 407, "password"},
		{"not Basic", locked, "CONNECT " + gone, "Proxy-Authorization: Bearer YWxpY2U6c2VjcmV0\r\n", 407, "password"},
		{"of the server, not the proxy", locked, "CONNECT " + gone, "Authorization: Basic YWxpY2U6c2VjcmV0\r\n", 407, "password"},
		{"right password", locked, "CONNECT " + gone, "Proxy-Authorization: basic YWxpY2U6c2VjcmV0\r\n", 502, "refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, _, _ := exchange(t, tt.server, tt.line+" HTTP/1.1\r\nHost: x\r\n"+tt.header+"\r\n")
			text := body(t, resp)
			if resp.StatusCode != tt.want || !strings.Contains(text, tt.text) || strings.Count(text, "\n") > 1 {
				t.Errorf("%s: %s", resp.Status, text)
			}
			if (resp.StatusCode == 407) != (resp.Header.Get("Proxy-Authenticate") != "") {
				t.Errorf("%s with Proxy-Authenticate: %s", resp.Status, resp.Header.Get("Proxy-Authenticate"))
			}
		})
	}
}

func TestHTTPRefusesTheHost(t *testing.T) {
	network := newLab()
	server := startHTTP(t, &proxy.HTTP{Network: network})
	for _, host := range own {
		address := net.JoinHostPort(host, "80")
		for _, line := range []string{"CONNECT " + address, "GET http://" + address + "/"} {
			if resp, _, _ := exchange(t, server, line+" HTTP/1.1\r\nHost: x\r\n\r\n"); resp.StatusCode != 403 {
				t.Errorf("%s: %s", line, resp.Status)
			}
		}
	}
	if n := network.dials.Load(); n != 0 {
		t.Errorf("%d dials", n)
	}
}

// The protocol may change, as for WebSockets, and each half ends by itself.
func TestHTTPUpgrade(t *testing.T) {
	web := startTCP(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil || r.Header.Get("Upgrade") != "shout" || r.Header.Get("Connection") != "Upgrade" {
			t.Errorf("request %v, %v", r, err)
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\n")
		b, _ := io.ReadAll(c)
		c.Write(bytes.ToUpper(b))
	})
	server := startHTTP(t, &proxy.HTTP{Network: newLab()})
	resp, r, c := exchange(t, server, "GET http://"+far(web)+"/ HTTP/1.1\r\nHost: x\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\n")
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "shout" {
		t.Fatal(resp.Status, resp.Header)
	}
	send(t, c, []byte("hello"))
	c.CloseWrite()
	if got, err := io.ReadAll(r); err != nil || string(got) != "HELLO" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A client's connection to a server is not used for another client, as that
// server may have authenticated the connection.
func TestHTTPConnectionsAreNotShared(t *testing.T) {
	web := startWeb(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
	server := startHTTP(t, &proxy.HTTP{Network: newLab()})
	to := &url.URL{Scheme: "http", Host: server}
	var from [2][2]string
	for i := range from {
		transport := &http.Transport{Proxy: http.ProxyURL(to)}
		defer transport.CloseIdleConnections()
		for j := range from[i] {
			resp, err := (&http.Client{Transport: transport}).Get("http://" + far(web))
			if err != nil {
				t.Fatal(err)
			}
			from[i][j] = body(t, resp)
		}
	}
	if from[0][0] != from[0][1] || from[1][0] != from[1][1] || from[0][0] == from[1][0] {
		t.Errorf("the server saw %v", from)
	}
}

func TestHTTPSlowHandshakes(t *testing.T) {
	server := startHTTP(t, &proxy.HTTP{Network: newLab(), Limits: proxy.Limits{Handshake: 100 * time.Millisecond}})
	for _, in := range []string{"", "GET", "GET http://far.example/ HTTP/1.1\r\nHost: x\r\n"} {
		c := dial(t, server)
		send(t, c, []byte(in))
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%q: %v", in, err) // the server did not hang up
		}
	}
}

func TestHTTPLimit(t *testing.T) {
	echo := startEcho(t)
	server := startHTTP(t, &proxy.HTTP{Network: newLab(), Limits: proxy.Limits{Connections: 1}})
	for range 2 { // the second when the place of the first is free
		deadline := time.Now().Add(patience)
		for {
			c := dialRetrying(t, server, deadline)
			io.WriteString(c, "CONNECT "+far(echo)+" HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "CONNECT"})
			if err != nil && time.Now().Before(deadline) {
				continue
			}
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			if second, err := net.Dial("tcp", server); err == nil {
				second.SetDeadline(time.Now().Add(patience))
				if b, err := io.ReadAll(second); err == nil || len(b) > 0 {
					t.Errorf("one more gets %q, %v", b, err)
				}
				second.Close()
			}
			c.Close()
			break
		}
	}
}

// dialRetrying dials until it is not refused at once.
func dialRetrying(t *testing.T, address string, deadline time.Time) net.Conn {
	t.Helper()
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.SetDeadline(deadline)
			t.Cleanup(func() { c.Close() })
			return c
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// At the end of its context, Serve ends whatever is open.
func TestHTTPEnd(t *testing.T) {
	echo := startEcho(t)
	started := make(chan struct{}, 1)
	web := startTCP(t, func(c net.Conn) {
		started <- struct{}{}
		io.Copy(io.Discard, c) // and no answer
	})
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- (&proxy.HTTP{Network: newLab()}).Serve(ctx, l) }()
	server := l.Addr().String()
	_, _, tunnel := exchange(t, server, "CONNECT "+far(echo)+" HTTP/1.1\r\nHost: x\r\n\r\n")
	plain, dialling, idle := dial(t, server), dial(t, server), dial(t, server)
	send(t, plain, []byte("GET http://"+far(web)+"/ HTTP/1.1\r\nHost: x\r\n\r\n"))
	send(t, dialling, []byte("GET http://192.0.2.99/ HTTP/1.1\r\nHost: x\r\n\r\n"))
	within(t, "the request", started)
	cancel()
	if err := within(t, "Serve", done); err != nil {
		t.Error(err)
	}
	for _, c := range []net.Conn{tunnel, plain, dialling, idle} {
		if b, err := io.ReadAll(c); len(b) > 0 {
			t.Errorf("got %q, %v", b, err)
		}
	}
}
