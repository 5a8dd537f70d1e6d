package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func addrs(text string) (list []netip.Addr) {
	for _, s := range strings.Fields(text) {
		list = append(list, netip.MustParseAddr(s))
	}
	return list
}

func TestInterleave(t *testing.T) {
	for in, want := range map[string]string{
		"1.1.1.1":                         "1.1.1.1",
		"1.1.1.1 2.2.2.2":                 "1.1.1.1 2.2.2.2",
		"::a ::b ::c 1.1.1.1 2.2.2.2":     "::a 1.1.1.1 ::b 2.2.2.2 ::c",
		"1.1.1.1 ::a ::b ::c":             "1.1.1.1 ::a ::b ::c",
		"1.1.1.1 2.2.2.2 3.3.3.3 ::a":     "1.1.1.1 ::a 2.2.2.2 3.3.3.3",
		"::a 1.1.1.1 2.2.2.2 3.3.3.3":     "::a 1.1.1.1 2.2.2.2 3.3.3.3",
		"::a 1.1.1.1 ::b 2.2.2.2 ::c ":    "::a 1.1.1.1 ::b 2.2.2.2 ::c",
		"1.1.1.1 2.2.2.2 ::a ::b 3.3.3.3": "1.1.1.1 ::a 2.2.2.2 ::b 3.3.3.3",
	} {
		if got := interleave(addrs(in)); !slices.Equal(got, addrs(want)) {
			t.Errorf("%s: got %v, want %s", in, got, want)
		}
	}
}

// dialer is a Network of which dial alone is used. Names have the addresses
// that their text lists.
type dialer struct {
	Host
	dial func(ctx context.Context, to string) (net.Conn, error)
}

func (d dialer) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	return d.dial(ctx, address)
}

func (d dialer) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return addrs(host), nil
}

// An address that does not answer is overtaken by the next; a connection that
// comes too late is closed.
func TestDialOvertakes(t *testing.T) {
	first, late := tcpPair(t)
	second, _ := tcpPair(t)
	d := dialer{dial: func(ctx context.Context, to string) (net.Conn, error) {
		if to == "2.2.2.2:80" {
			return second, nil
		}
		<-ctx.Done() // and then it is there
		return first, nil
	}}
	r := route{network: d, timeout: patience}
	c, err := r.dial(t.Context(), "tcp", Endpoint{"1.1.1.1 2.2.2.2", 80})
	if err != nil || c != second {
		t.Fatalf("got %v, %v", c, err)
	}
	if _, err := late.Read(make([]byte, 1)); err == nil {
		t.Error("the late connection is open")
	}
}

// All errors are told, and no more addresses are tried than the bound.
func TestDialErrors(t *testing.T) {
	many := strings.Repeat("1.1.1.1 ", maxAddrs+5)
	dials := 0
	d := dialer{dial: func(_ context.Context, to string) (net.Conn, error) {
		dials++
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: map[string]error{"1.1.1.1:80": syscall.ECONNREFUSED, "[2001:db8::1]:80": syscall.ENETUNREACH}[to]}
	}}
	tests := []struct {
		host  string
		want  error
		dials int
	}{
		{"1.1.1.1", syscall.ECONNREFUSED, 1},
		{"2001:db8::1 1.1.1.1", syscall.ECONNREFUSED, 2},
		{"2001:db8::1 127.0.0.1", syscall.ENETUNREACH, 1},
		{"::1 127.0.0.1", ErrDestination, 0},
		{many, syscall.ECONNREFUSED, maxAddrs},
		{" ", errNoAddrs{}, 0},
	}
	for _, tt := range tests {
		dials = 0
		_, err := route{d, checkDestination, patience}.dial(t.Context(), "tcp", Endpoint{tt.host, 80})
		if !errors.Is(err, tt.want) && !(tt.want == errNoAddrs{} && failureOf(err) == noHost) || dials != tt.dials {
			t.Errorf("%.40s: %v after %d dials, want %v after %d", tt.host, err, dials, tt.want, tt.dials)
		}
	}
}

// errNoAddrs stands for a *net.DNSError in a table.
type errNoAddrs struct{}

func (errNoAddrs) Error() string { return "no addresses" }

func TestReplies(t *testing.T) {
	op := func(err error) error { return fmt.Errorf("x: %w", &net.OpError{Op: "dial", Net: "tcp", Err: err}) }
	tests := []struct {
		err    error
		reply  byte
		status int
	}{
		{errors.New("else"), 1, 502},
		{op(syscall.EINVAL), 1, 502},
		{ErrDestination, 2, 403},
		{op(syscall.EPERM), 2, 403}, // a firewall on this host
		{op(syscall.EACCES), 2, 403},
		{op(syscall.ENETUNREACH), 3, 502},
		{op(syscall.EADDRNOTAVAIL), 3, 502}, // no address of that IP version
		{op(syscall.EHOSTUNREACH), 4, 502},
		{&net.DNSError{IsNotFound: true}, 4, 502},
		{&net.DNSError{IsTimeout: true}, 6, 504},
		{op(syscall.ECONNREFUSED), 5, 502},
		{op(syscall.ETIMEDOUT), 6, 504},
		{op(context.DeadlineExceeded), 6, 504},
		{errors.Join(op(syscall.ENETUNREACH), op(syscall.ECONNREFUSED)), 5, 502},
		{errors.Join(op(syscall.ENETUNREACH), op(syscall.ETIMEDOUT)), 6, 504},
		{errors.Join(op(syscall.ENETUNREACH), op(syscall.EHOSTUNREACH)), 4, 502},
	}
	for _, tt := range tests {
		if reply, status := replyFor(tt.err), statuses[failureOf(tt.err)]; reply != tt.reply || status != tt.status {
			t.Errorf("%v: %d and %d, want %d and %d", tt.err, reply, status, tt.reply, tt.status)
		}
	}
}
