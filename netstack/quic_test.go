package netstack_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"log"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// quic-go runs on the stack's sockets as on package net's: it finds the methods
// that it wants, and says nothing of buffers.
func TestHTTP3(t *testing.T) {
	var said bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&said)
	serverTLS, clientTLS := certificate(t)
	for i, version := range []string{"udp4", "udp6"} {
		t.Run(version, func(t *testing.T) {
			a, b := backToBack(t)
			pc, err := b.s.ListenPacket(version, b.on(b.addrs()[i], 443))
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			server := &http3.Server{Handler: site(nil), TLSConfig: http3.ConfigureTLSConfig(serverTLS.Clone())}
			done := make(chan error, 1)
			go func() { done <- server.Serve(pc) }()
			defer func() {
				server.Close()
				if err := <-done; err != http.ErrServerClosed {
					t.Errorf("serving: %v", err)
				}
			}()
			local, err := a.s.ListenPacket(version, ":0")
			if err != nil {
				t.Fatal(err)
			}
			defer local.Close()
			q := &quic.Transport{Conn: local}
			defer q.Close()
			tr := &http3.Transport{TLSClientConfig: clientTLS.Clone(), Dial: func(ctx context.Context, _ string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
				return q.DialEarly(ctx, pc.LocalAddr(), tc, qc)
			}}
			defer tr.Close()
			whole(t, &http.Client{Transport: tr, Timeout: patience}, "https://"+pc.LocalAddr().String(), "HTTP/3.0")
		})
	}
	if s := said.String(); strings.Contains(s, "buffer") {
		t.Errorf("logged %q", s)
	}
}
