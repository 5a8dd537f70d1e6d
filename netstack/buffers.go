package netstack

import "sync"

// relayBuffer is what a connection is copied through.
type relayBuffer [relayBufferLen]byte

const relayBufferLen = 64 << 10

var relayBuffers = sync.Pool{New: func() any { return new(relayBuffer) }}

// The sizes of kept buffers for datagrams: small ones, and those of a common
// MTU.
const (
	smallBuffer = 256
	mtuBuffer   = 2048
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	mtuBuffers   = sync.Pool{New: func() any { return new([mtuBuffer]byte) }}
)

// getBuffer returns an empty slice with room for n bytes. The caller gives it
// back by putBuffer.
func getBuffer(n int) []byte {
	switch {
	case n <= smallBuffer:
		return smallBuffers.Get().(*[smallBuffer]byte)[:0]
	case n <= mtuBuffer:
		return mtuBuffers.Get().(*[mtuBuffer]byte)[:0]
	default:
		return make([]byte, 0, n)
	}
}

// putBuffer takes back what getBuffer gave. A long buffer is rare, and not
// worth keeping.
func putBuffer(b []byte) {
	switch cap(b) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(b[:smallBuffer]))
	case mtuBuffer:
		mtuBuffers.Put((*[mtuBuffer]byte)(b[:mtuBuffer]))
	}
}
