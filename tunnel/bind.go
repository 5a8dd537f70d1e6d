package tunnel

import (
	"errors"
	"reflect"
	"syscall"

	"golang.zx2c4.com/wireguard/conn"
)

// bind is wireguard-go's StdNetBind without two faults in its Send:
//
//   - After a datagram to an IPv4 address, one to an IPv6 address may go to
//     another: only 4 of 16 bytes of the address are copied
//     (WireGuard/wireguard-go pull request 135). Here each family has a
//     StdNetBind of its own, and so addresses of one length alone.
//   - Datagrams that the kernel is to cut out of one, and that do not fit the
//     way to the peer as the kernel has learnt it, are refused together
//     (EMSGSIZE, or EINVAL before Linux 6.13). Here they are sent one by one
//     then, which the kernel cuts into fragments.
type bind struct {
	*conn.StdNetBind
	six *conn.StdNetBind // sends to IPv6 addresses; has the other one's socket
}

// shared are the fields of a StdNetBind by which it sends to IPv6 addresses.
var shared = []string{"ipv6", "ipv6PC", "ipv6TxOffload", "blackhole6"}

// newBind returns what a WireGuard device sends and receives by. Where the
// system, or a later version of wireguard-go, has another Bind, it is that.
func newBind() conn.Bind {
	std, ok := conn.NewDefaultBind().(*conn.StdNetBind)
	if !ok {
		return conn.NewDefaultBind()
	}
	fields := reflect.ValueOf(std).Elem()
	for _, name := range shared {
		if !fields.FieldByName(name).IsValid() {
			return std
		}
	}
	return &bind{std, conn.NewStdNetBind().(*conn.StdNetBind)}
}

// Open opens the sockets. wireguard-go does not call it, nor Close, while it sends.
func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	fns, actual, err := b.StdNetBind.Open(port)
	b.share()
	return fns, actual, err
}

// Close closes the sockets.
func (b *bind) Close() error {
	err := b.StdNetBind.Close()
	b.share()
	return err
}

// share gives six what the other one has now. The fields are not exported.
func (b *bind) share() {
	from, to := reflect.ValueOf(b.StdNetBind).Elem(), reflect.ValueOf(b.six).Elem()
	settable := func(v reflect.Value) reflect.Value { return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem() }
	for _, name := range shared {
		settable(to.FieldByName(name)).Set(settable(from.FieldByName(name)))
	}
}

// Send sends datagrams to an endpoint, in order. After an error some may have
// been sent.
func (b *bind) Send(bufs [][]byte, to conn.Endpoint) error {
	send := b.StdNetBind.Send
	if to.DstIP().Is6() {
		send = b.six.Send
	}
	err := send(bufs, to)
	if len(bufs) < 2 || !errors.Is(err, syscall.EMSGSIZE) && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	var errs []error
	for i := range bufs {
		errs = append(errs, send(bufs[i:i+1], to)) // the peer drops what comes twice
	}
	return errors.Join(errs...)
}
