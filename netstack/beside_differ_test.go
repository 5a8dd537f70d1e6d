package netstack_test

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tstun/netstack"
)

// differences are rows in which a stack does something else than package net,
// with the reason. A row in which it no longer does is to leave the list.
var differences = []struct {
	row
	why string
}{
	{row{"dial the unspecified address", func(s *script) {
		l := s.listened("both", "tcp", ":0")
		s.plainly("tcp", fmt.Sprintf(":%d", port(l.Addr())))
		s.plainly("tcp", fmt.Sprintf("[::]:%d", port(l.Addr())))
	}}, "a stack has no loopback that the address could stand for"},
	{row{"a zone", func(s *script) {
		_, err := s.listen("tcp", "[::1%lo]:0")
		s.note("listen", err)
	}}, "a stack has one interface, and no link-local addresses"},
	{row{"the source of an IPv4 datagram on a socket of both IP versions", func(s *script) {
		d := s.packetListened("both", "udp", ":0")
		c := s.connect(netstack.Dialer{}, "udp", s.on(port(d.LocalAddr())))
		c.Write([]byte("x"))
		_, from, err := d.ReadFromUDPAddrPort(make([]byte, 9))
		s.note("from", from.Addr().Is4In6(), err)
		s.note("peers compare", from == c.LocalAddr().(*net.UDPAddr).AddrPort())
	}}, "an address is the same on all sockets, so that it can be compared and be a key of a map"},
	{row{"control messages", func(s *script) {
		c, d := s.packetPair()
		_, _, err := d.WriteMsgUDP([]byte("x"), make([]byte, 3), c.LocalAddr().(*net.UDPAddr))
		s.note("write", err)
	}}, "there is no system call that could take them"},
	{row{"what ReadMsgUDP returns beside a refusal", func(s *script) {
		c := s.connect(netstack.Dialer{}, "udp", s.on(s.refusingPort("udp"))).(packetConn)
		c.Write([]byte("x"))
		n, _, _, from, err := c.ReadMsgUDP(make([]byte, 1), nil)
		s.note("read", n, from == nil, err != nil)
	}}, "a count of -1 and an address of zeros, which are the system call's, are of no use to anybody"},
}

func TestDifferencesFromPackageNet(t *testing.T) {
	a, b := backToBack(t)
	for _, d := range differences {
		t.Run(d.name, func(t *testing.T) {
			if got := perform(t, d.row, stacks(a, b, false), false); got == perform(t, d.row, loopback(false), false) {
				t.Errorf("no difference: both note\n%s", got)
			}
		})
	}
}

// missing are the names of package net that the types beside it do not have.
var missing = map[string][]string{
	// There is no file descriptor.
	"TCPConn":     {"File", "SyscallConn", "MultipathTCP"},
	"UDPConn":     {"File", "SyscallConn"},
	"TCPListener": {"File", "SyscallConn"},
	// Typed twins of DialContext, and protocols that a stack does not have.
	"Dialer": {
		"Control", "ControlContext", "Cancel", "DualStack", "DialIP", "DialTCP", "DialUDP", "DialUnix", "MultipathTCP", "SetMultipathTCP",
	},
	"ListenConfig": {"Control", "MultipathTCP", "SetMultipathTCP"},
}

// Whoever replaces a type of package net by the stack's finds all its methods
// and fields, with the same types.
func TestNamesOfPackageNet(t *testing.T) {
	pairs := [][2]reflect.Type{
		{reflect.TypeFor[*net.TCPConn](), reflect.TypeFor[*netstack.TCPConn]()},
		{reflect.TypeFor[*net.UDPConn](), reflect.TypeFor[*netstack.UDPConn]()},
		{reflect.TypeFor[*net.TCPListener](), reflect.TypeFor[*netstack.TCPListener]()},
		{reflect.TypeFor[*net.Dialer](), reflect.TypeFor[*netstack.Dialer]()},
		{reflect.TypeFor[*net.ListenConfig](), reflect.TypeFor[*netstack.ListenConfig]()},
	}
	for _, p := range pairs {
		want, got, name := namesOf(p[0]), namesOf(p[1]), p[0].Elem().Name()
		for n, typ := range want {
			left := slices.Contains(missing[name], n)
			switch found, ok := got[n]; {
			case !ok && !left:
				t.Errorf("%s has no %s %s", name, n, typ)
			case ok && left:
				t.Errorf("%s has %s, which is said to be missing", name, n)
			case ok && found != typ:
				t.Errorf("%s.%s is %s, want %s", name, n, found, typ)
			}
		}
		for _, n := range missing[name] {
			if _, ok := want[n]; !ok {
				t.Errorf("package net's %s has no %s", name, n)
			}
		}
	}
}

// namesOf returns the exported methods and fields of the type that p points to,
// with their types as they would be in package net.
func namesOf(p reflect.Type) map[string]string {
	names := make(map[string]string)
	as := strings.NewReplacer("*netstack.", "*net.", "netstack.Lookup", "*net.Resolver")
	for m := range p.Methods() {
		var in, out []string
		for i := 1; i < m.Type.NumIn(); i++ {
			in = append(in, m.Type.In(i).String())
		}
		for o := range m.Type.Outs() {
			out = append(out, o.String())
		}
		names[m.Name] = as.Replace(fmt.Sprintf("func(%s) (%s)", strings.Join(in, ", "), strings.Join(out, ", ")))
	}
	for f := range p.Elem().Fields() {
		if f.IsExported() {
			names[f.Name] = as.Replace(f.Type.String())
		}
	}
	return names
}

// What libraries ask connections and sockets for.
var (
	_ net.PacketConn = (*netstack.UDPConn)(nil)
	_ conn           = (*netstack.TCPConn)(nil)
	_ packetConn     = (*netstack.UDPConn)(nil)

	_ func(context.Context, string, string) (net.Conn, error) = (*netstack.Stack)(nil).DialContext
)
