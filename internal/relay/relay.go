// Package relay copies between two connections, both ways, and passes on how
// each way ends.
package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
)

// A connection starts with a small buffer and gets a large one while its reads
// fill it: most connections wait, and there may be thousands.
const (
	SmallBuffer = 8 << 10   // bytes
	LargeBuffer = 128 << 10 // of 32 to 256 KiB the cheapest behind a netstack
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([SmallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([LargeBuffer]byte) }}
)

// TakeLarge returns a buffer that the caller gives back to GiveLarge.
func TakeLarge() *[LargeBuffer]byte { return largeBuffers.Get().(*[LargeBuffer]byte) }

// GiveLarge takes a buffer back.
func GiveLarge(b *[LargeBuffer]byte) { largeBuffers.Put(b) }

// Both copies between a and b, both ways, until both have ended, an error
// occurs or ctx ends. It closes both. The end of one way closes that half of
// the other connection; an error, such as a reset, resets both.
func Both(ctx context.Context, a, b net.Conn) error {
	stop := context.AfterFunc(ctx, func() {
		Reset(a)
		Reset(b)
	})
	defer stop()
	defer a.Close()
	defer b.Close()
	other := make(chan error, 1)
	go func() { other <- pass(a, b) }()
	return errors.Join(pass(b, a), <-other)
}

// pass copies from src to dst until src ends, and then ends dst's half.
func pass(dst, src net.Conn) error {
	err := Copy(dst, src)
	if err == nil {
		err = CloseWrite(dst)
	}
	if err != nil {
		Reset(dst)
		Reset(src)
	}
	return err
}

// Copy copies until src ends.
//
// It neither uses splice(2), by way of io.ReaderFrom, nor waits with a large
// buffer in hand. Splice is hardly cheaper than large reads, and takes a pipe of
// two descriptors for each way of a connection even while nothing comes.
func Copy(dst io.Writer, src io.Reader) error {
	small := smallBuffers.Get().(*[SmallBuffer]byte)
	defer smallBuffers.Put(small)
	for {
		n, err := src.Read(small[:])
		if werr := write(dst, small[:n]); werr != nil {
			return werr
		}
		if n == SmallBuffer && err == nil {
			err = copyBulk(dst, src)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// copyBulk copies as Copy does, until a read would have fitted into a small
// buffer. It returns the error of that read, which may be io.EOF.
func copyBulk(dst io.Writer, src io.Reader) error {
	large := TakeLarge()
	defer GiveLarge(large)
	for {
		n, err := src.Read(large[:])
		if werr := write(dst, large[:n]); werr != nil {
			return werr
		}
		if err != nil || n <= SmallBuffer {
			return err
		}
	}
}

func write(dst io.Writer, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := dst.Write(b)
	return err
}

// CloseWrite ends the sending half of c, or c if it has no halves.
func CloseWrite(c io.Closer) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// Reset closes c so that the other end sees a reset, where c can do that.
func Reset(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		l.SetLinger(0)
	}
	c.Close()
}
