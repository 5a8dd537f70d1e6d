package bind

import (
	"net"
	"net/netip"
	"reflect"
	"unsafe"

	"golang.zx2c4.com/wireguard/conn"
)

// This file has what is known of fields of wireguard-go's that are not exported. A
// version that has others gets its own Bind: knowsFields says so.

// endpoint is a StdNetEndpoint.
type endpoint struct {
	netip.AddrPort
	src []byte // a control message with where packets to it are to come from
}

// std returns e as what it is to wireguard-go.
func (e *endpoint) std() *conn.StdNetEndpoint { return (*conn.StdNetEndpoint)(unsafe.Pointer(e)) }

// ours returns e as what it is here.
func ours(e *conn.StdNetEndpoint) *endpoint { return (*endpoint)(unsafe.Pointer(e)) }

// knowsFields reports whether the fields are as this file says.
func knowsFields(b *conn.StdNetBind) bool {
	fields := reflect.ValueOf(b).Elem()
	for _, name := range []string{"ipv4", "ipv6", "ipv6PC", "ipv4TxOffload", "ipv6TxOffload", "blackhole6"} {
		if !fields.FieldByName(name).IsValid() {
			return false
		}
	}
	socket := reflect.TypeFor[*net.UDPConn]()
	flag := reflect.TypeFor[bool]()
	return fields.FieldByName("ipv4TxOffload").Type() == flag && fields.FieldByName("ipv6TxOffload").Type() == flag &&
		fields.FieldByName("ipv4").Type() == socket && fields.FieldByName("ipv6").Type() == socket &&
		sameFields(reflect.TypeFor[conn.StdNetEndpoint](), reflect.TypeFor[endpoint]())
}

func sameFields(a, b reflect.Type) bool {
	if a.NumField() != b.NumField() {
		return false
	}
	for i := range a.NumField() {
		if a.Field(i).Name != b.Field(i).Name || a.Field(i).Type != b.Field(i).Type || a.Field(i).Offset != b.Field(i).Offset {
			return false
		}
	}
	return true
}

// field returns a field of b's.
func field(b *conn.StdNetBind, name string) reflect.Value {
	v := reflect.ValueOf(b).Elem().FieldByName(name)
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

// openSockets returns the open sockets, in the order of the receive functions.
func openSockets(b *conn.StdNetBind) (open []*net.UDPConn) {
	for _, name := range []string{"ipv4", "ipv6"} {
		if c := field(b, name).Interface().(*net.UDPConn); c != nil {
			open = append(open, c)
		}
	}
	return open
}
