package netstack_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

const mebibyte = 1 << 20

// site is what the tests' servers serve.
func site(release <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) { io.CopyN(w, pattern(7), mebibyte) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // HTTP/1.1 is not for both ways at once
		w.Write(body)
	})
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		local := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		io.WriteString(w, r.RemoteAddr+" "+local.String()+" "+r.Proto)
	})
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		select {
		case <-release:
			io.WriteString(w, "released")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/upgrade", upgrade)
	return mux
}

// upgrade takes the connection over and echoes lines, as websockets begin.
func upgrade(w http.ResponseWriter, r *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer c.Close()
	io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
	rw.Flush()
	io.Copy(c, rw)
}

// serve serves h on the node until the test ends.
func serveHTTP(t *testing.T, n *node, s *http.Server, address string) net.Listener {
	t.Helper()
	l := mustListen(t, n.s, "tcp", address)
	done := make(chan error, 1)
	go func() {
		if s.TLSConfig != nil {
			done <- s.ServeTLS(l, "", "")
			return
		}
		done <- s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Errorf("serving: %v", err)
		}
	})
	return l
}

// client is an HTTP client on the node.
func client(t *testing.T, n *node, tr *http.Transport) *http.Client {
	tr.DialContext = n.s.DialContext
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// fetch returns a body, and the protocol that it came by.
func fetch(t *testing.T, c *http.Client, req *http.Request) (body []byte, resp *http.Response) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body, resp
}

func get(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func protocols(set func(*http.Protocols)) *http.Protocols {
	p := new(http.Protocols)
	set(p)
	return p
}

func TestHTTP(t *testing.T) {
	serverTLS, clientTLS := certificate(t)
	h2c := protocols(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
	kinds := []struct {
		name, scheme, proto string
		server              *http.Server
		transport           *http.Transport
	}{
		{"HTTP/1.1", "http", "HTTP/1.1", &http.Server{}, &http.Transport{}},
		{"HTTPS", "https", "HTTP/1.1", &http.Server{TLSConfig: serverTLS.Clone()}, &http.Transport{TLSClientConfig: clientTLS.Clone()}},
		{"HTTP/2", "https", "HTTP/2.0", &http.Server{TLSConfig: serverTLS.Clone()}, &http.Transport{TLSClientConfig: clientTLS.Clone(), ForceAttemptHTTP2: true}},
		{"h2c", "http", "HTTP/2.0", &http.Server{Protocols: h2c}, &http.Transport{Protocols: h2c}},
	}
	for i, version := range []string{"IPv4", "IPv6"} {
		for _, k := range kinds {
			t.Run(k.name+"/"+version, func(t *testing.T) {
				a, b := backToBack(t)

				server := &http.Server{Handler: site(nil), TLSConfig: k.server.TLSConfig.Clone(), Protocols: k.server.Protocols}
				l := serveHTTP(t, b, server, b.on(b.addrs()[i], 0))
				c, base := client(t, a, k.transport.Clone()), k.scheme+"://"+l.Addr().String()
				whole(t, c, base, k.proto)
				keepsAlive(t, c, base)
			})
		}
	}
}

// whole wants bodies to arrive as they are, both ways.
func whole(t *testing.T, c *http.Client, base, proto string) {
	t.Helper()
	want := make([]byte, mebibyte)
	io.ReadFull(pattern(7), want)
	got, resp := fetch(t, c, get(t, base+"/big"))
	if !bytes.Equal(got, want) || resp.Proto != proto {
		t.Errorf("%d bytes by %s, want %d by %s", len(got), resp.Proto, len(want), proto)
	}
	req := get(t, base+"/echo")
	req.Method, req.Body = http.MethodPost, io.NopCloser(bytes.NewReader(want))
	if got, _ := fetch(t, c, req); !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d", len(got), len(want))
	}
}

// keepsAlive wants requests to share a connection, with the right addresses.
func keepsAlive(t *testing.T, c *http.Client, base string) {
	t.Helper()
	first, _ := fetch(t, c, get(t, base+"/who"))
	second, _ := fetch(t, c, get(t, base+"/who"))
	if string(first) != string(second) || !strings.Contains(base, strings.Fields(string(first))[1]) {
		t.Errorf("first %q, then %q of %s", first, second, base)
	}
}

// A client that waits for 100 Continue sends nothing to who refuses it.
func TestHTTPContinue(t *testing.T) {
	a, b := backToBack(t)
	l := serveHTTP(t, b, &http.Server{Handler: site(nil)}, ":80")
	c := client(t, a, &http.Transport{ExpectContinueTimeout: patience})
	for path, want := range map[string]int{"/echo": http.StatusOK, "/refuse": http.StatusRequestEntityTooLarge} {
		body := &countingReader{r: strings.NewReader("a body")}
		req := get(t, "http://"+b.on(b.v4, port(l.Addr()))+path)
		req.Method, req.Body = http.MethodPut, io.NopCloser(body)
		req.Header.Set("Expect", "100-continue")
		_, resp := fetch(t, c, req)
		if resp.StatusCode != want || (body.n > 0) != (want == http.StatusOK) {
			t.Errorf("%s: %s after %d bytes", path, resp.Status, body.n)
		}
	}
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

// Shutdown lets a request finish and refuses new ones.
func TestHTTPShutdown(t *testing.T) {
	a, b := backToBack(t)
	release := make(chan struct{})
	s := &http.Server{Handler: site(release)}
	l := serveHTTP(t, b, s, b.on(b.v4, 0))
	c := client(t, a, &http.Transport{})
	resp, err := c.Do(get(t, "http://"+l.Addr().String()+"/wait"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(ctx(t)) }()
	for { // until the listener is closed
		other, err := a.s.DialContext(ctx(t), "tcp", l.Addr().String())
		if err != nil {
			break
		}
		other.Close()
	}
	close(release)
	if body, err := io.ReadAll(resp.Body); string(body) != "released" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	if err := <-down; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// A client that gives up gets a timeout, and the server learns of it.
func TestHTTPTimeouts(t *testing.T) {
	a, b := backToBack(t)
	entered, left := make(chan struct{}, 100), make(chan struct{}, 100)
	l := serveHTTP(t, b, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	})}, b.on(b.v4, 0))
	const soon = 50 * time.Millisecond
	ways := map[string]func() error{
		"client": func() error {
			c := client(t, a, &http.Transport{})
			c.Timeout = soon
			_, err := c.Do(get(t, "http://"+l.Addr().String()))
			return err
		},
		"context": func() error {
			short, cancel := context.WithTimeout(ctx(t), soon)
			defer cancel()
			_, err := client(t, a, &http.Transport{}).Do(get(t, "http://"+l.Addr().String()).WithContext(short))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("not the context's error: %v", err)
			}
			return err
		},
		"header": func() error {
			_, err := client(t, a, &http.Transport{ResponseHeaderTimeout: soon}).Do(get(t, "http://"+l.Addr().String()))
			return err
		},
	}
	for name, give := range ways {
		for len(entered) == 0 { // on a slow machine the time can be up before
			err := give()
			if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() || !os.IsTimeout(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for len(entered) > 0 {
			<-entered
			<-left
		}
	}
}

// certificate returns what a server and its client need: httptest's.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	server = &tls.Config{Certificates: s.TLS.Certificates}
	client = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.ServerName = "example.com"
	return server, client
}
