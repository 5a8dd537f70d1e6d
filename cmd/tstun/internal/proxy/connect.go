package proxy

import (
	"context"
	"fmt"
	"io"
	"net"

	"tstun/internal/relay"
)

// Connect opens a TCP connection to a destination over n, sends what stdin has
// and writes what comes to stdout, until both have ended, an error occurs or
// ctx ends, whose error it then returns. The end of stdin ends the sending
// half; when the other end has sent all, stdout is closed if it can be.
//
// A Read of stdin or a Write of stdout that waits when Connect returns early
// goes on waiting: the caller closes them. The host's own addresses are refused, with an ErrDestination.
func Connect(ctx context.Context, n Network, to Endpoint, stdin io.Reader, stdout io.Writer) error {
	c, err := Dial(ctx, n, to)
	if err != nil {
		return err
	}
	return Pipe(ctx, c, stdin, stdout)
}

// Dial opens a TCP connection to a destination over n. The host's own addresses
// are refused, with an ErrDestination.
func Dial(ctx context.Context, n Network, to Endpoint) (net.Conn, error) {
	r := route{n, checkDestination, Limits{}.withDefaults().Dial}
	c, err := r.dial(ctx, "tcp", to)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", to, err)
	}
	return c, nil
}

// Relay copies between a and b, both ways, until both have ended, an error
// occurs or ctx ends. It closes both. The end of one way closes that half of the
// other connection, where it has halves; an error, such as a reset, resets both.
func Relay(ctx context.Context, a, b net.Conn) error { return relay.Both(ctx, a, b) }

// Pipe makes standard input and output one with a connection, as Connect does,
// and closes the connection.
func Pipe(ctx context.Context, c net.Conn, stdin io.Reader, stdout io.Writer) (err error) {
	defer c.Close()
	sent, received := make(chan error, 1), make(chan error, 1)
	go func() { sent <- send(c, stdin) }()
	go func() { received <- receive(stdout, c) }()
	for sent != nil || received != nil {
		select {
		case err = <-sent:
			sent = nil
		case err = <-received:
			received = nil
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			relay.Reset(c)
			return fmt.Errorf("connection: %w", err)
		}
	}
	return nil
}

func send(c io.WriteCloser, stdin io.Reader) error {
	if err := relay.Copy(c, stdin); err != nil {
		return err
	}
	return relay.CloseWrite(c)
}

func receive(stdout io.Writer, c io.Reader) error {
	if err := relay.Copy(stdout, c); err != nil {
		return err
	}
	if closer, ok := stdout.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}
