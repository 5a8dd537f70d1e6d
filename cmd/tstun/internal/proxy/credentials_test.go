package proxy_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"tstun/cmd/tstun/internal/proxy"
)

func TestOpenProxy(t *testing.T) {
	password := proxy.Credentials{Username: "a", Password: "b"}
	serve := map[string]func(context.Context, net.Listener, proxy.Credentials, bool) error{
		"socks5": func(ctx context.Context, l net.Listener, c proxy.Credentials, open bool) error {
			return (&proxy.SOCKS5{Network: newLab(), Credentials: c, AllowOpen: open}).Serve(ctx, l)
		},
		"http": func(ctx context.Context, l net.Listener, c proxy.Credentials, open bool) error {
			return (&proxy.HTTP{Network: newLab(), Credentials: c, AllowOpen: open}).Serve(ctx, l)
		},
	}
	tests := []struct {
		name        string
		listen      string
		credentials proxy.Credentials
		open        bool
		want        error
	}{
		{"loopback", "127.0.0.1:0", proxy.Credentials{}, false, nil},
		{"loopback, another", "127.1.2.3:0", proxy.Credentials{}, false, nil},
		{"all", "0.0.0.0:0", proxy.Credentials{}, false, proxy.ErrOpen},
		{"all of both versions", ":0", proxy.Credentials{}, false, proxy.ErrOpen},
		{"all, allowed", "0.0.0.0:0", proxy.Credentials{}, true, nil},
		{"all, password", "0.0.0.0:0", password, false, nil},
	}
	for name, serve := range serve {
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				l, err := net.Listen("tcp", tt.listen)
				if err != nil {
					t.Skip(err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				if err := serve(ctx, l, tt.credentials, tt.open); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if l.Close() == nil {
					t.Error("the listener is open")
				}
			})
		}
	}
}

func TestCredentials(t *testing.T) {
	long := strings.Repeat("x", 256)
	for c, want := range map[proxy.Credentials]string{
		{}:                               "",
		{Username: "a", Password: "b"}:   "",
		{Username: "a"}:                  "no password",
		{Password: "b"}:                  "no username",
		{Username: "a:b", Password: "b"}: "colon",
		{Username: long, Password: "b"}:  "256",
		{Username: "a", Password: long}:  "256",
	} {
		err := c.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.20v: %v, want %q", c, err, want)
		}
		if want == "" {
			continue
		}
		l := listen(t)
		if err := (&proxy.SOCKS5{Network: newLab(), Credentials: c}).Serve(context.Background(), l); err == nil {
			t.Error("Serve takes them")
		}
	}
}
