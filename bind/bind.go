// Package bind sends and receives WireGuard's datagrams: New goes into wireguard-go's
// device.NewDevice, where others put conn.NewDefaultBind.
//
// On Linux it costs less than wireguard-go's own Bind, whose sockets it uses: datagrams
// are sent from where they are, the kernel puts each of those that come coalesced where
// WireGuard wants it, and nothing is allocated for each. It also has none of two faults
// of that Bind's Send, on all systems that have it; see the Bind's own method.
package bind

import (
	"errors"

	"golang.zx2c4.com/wireguard/conn"
)

// bind is wireguard-go's StdNetBind, with a Send and, on Linux, receive functions of
// its own.
type bind struct {
	*conn.StdNetBind
	sockets sockets // to send by
}

// New returns what a WireGuard device sends and receives by. Where the system, or a
// later version of wireguard-go, has another default Bind, it is that.
func New() conn.Bind {
	std, ok := conn.NewDefaultBind().(*conn.StdNetBind)
	if !ok {
		return conn.NewDefaultBind()
	}
	if !knowsFields(std) {
		return std
	}
	b := &bind{StdNetBind: std}
	if b.sockets.renew(std) != nil {
		return std
	}
	return b
}

// Open opens the sockets. wireguard-go does not call it, nor Close, while it sends.
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	fns, actual, err := b.StdNetBind.Open(port)
	if err != nil {
		return fns, actual, err
	}
	if err := b.sockets.renew(b.StdNetBind); err != nil {
		return nil, 0, errors.Join(err, b.Close())
	}
	return b.receiveFuncs(fns), actual, nil
}

// Close closes the sockets.
func (b *bind) Close() error {
	return errors.Join(b.StdNetBind.Close(), b.sockets.renew(b.StdNetBind))
}
