package netstack

import (
	"reflect"
	"sync/atomic"
	"unsafe"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// What a TCP endpoint holds of its two buffers is in two fields that gVisor
// does not export. They are found by name, so that another version of gVisor
// may have them elsewhere; where one is missing, an endpoint is taken to hold
// as much as it may (TestUsageIsKnown).
var (
	receivedAt = offsetOf("rcvMemUsed")
	unackedAt  = offsetOf("sndQueueInfo", "TCPSndBufState", "SndBufUsed")
)

// offsetOf returns where in a tcp.Endpoint the field is that the path leads to,
// or 0 for nowhere: the first field is another.
func offsetOf(path ...string) uintptr {
	t, offset := reflect.TypeFor[tcp.Endpoint](), uintptr(0)
	for _, name := range path {
		f, ok := t.FieldByName(name)
		if !ok {
			return 0
		}
		t, offset = f.Type, offset+f.Offset
	}
	return offset
}

// received returns the bytes of memory that data takes which the other side
// sent and the program did not read, or most if that is not known.
func received(ep *tcp.Endpoint) int64 {
	if receivedAt == 0 {
		return ep.SocketOptions().GetReceiveBufferSize()
	}
	used := (*int32)(unsafe.Add(unsafe.Pointer(ep), receivedAt))
	return int64(atomic.LoadInt32(used))
}

// unacked returns the bytes that the program wrote and the other side did not
// acknowledge, or most if that is not known. gVisor guards them by a lock that
// is not exported either; they are one word, and an old value does no harm.
//
//go:norace
func unacked(ep *tcp.Endpoint) int64 {
	if unackedAt == 0 {
		return ep.SocketOptions().GetSendBufferSize()
	}
	return int64(*(*int)(unsafe.Add(unsafe.Pointer(ep), unackedAt)))
}
