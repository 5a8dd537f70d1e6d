package demo

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"

	"tstun/cmd/tstun/internal/ui"
)

// transferBlock is the number of bytes of one write.
const transferBlock = 256 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli) // RFC 3720 §12.1

// transfer sends bytes from the client to the server and compares the server's
// receipt with what the client sent.
func (d *demo) transfer(ctx context.Context) ([]string, any, error) {
	address := d.server.addrPort(portTransfer).String()
	l, err := d.server.net.Listen("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	received := make(chan error, 1)
	go func() { received <- receive(ctx, l) }() // ends with the connection or with ctx
	data, err := d.send(ctx, address)
	if err != nil {
		giveUp()
		<-received
		return nil, data, err
	}
	if err := <-received; err != nil {
		return nil, data, err
	}
	return []string{fmt.Sprintf("%v in %.2f s: %.2f Gbit/s, CRC-32C %s at both ends",
		ui.Size(data.Bytes), data.Seconds, data.GbitPerSecond, data.CRC32C)}, data, nil
}

// send is the client's side. It returns the server's receipt.
func (d *demo) send(ctx context.Context, address string) (TransferData, error) {
	c, err := d.client.net.DialContext(ctx, "tcp", address)
	if err != nil {
		return TransferData{}, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	began := time.Now()
	sum, err := d.sendAll(c, began)
	if err != nil {
		return TransferData{}, err
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return TransferData{}, err
	}
	var reply receipt
	if err := binary.Read(c, binary.BigEndian, &reply); err != nil {
		return TransferData{}, fmt.Errorf("receipt: %w", err)
	}
	took := time.Since(began)
	data := TransferData{
		Bytes:         int64(reply.Bytes),
		Seconds:       took.Seconds(),
		GbitPerSecond: ui.Gbits(ui.Size(reply.Bytes), took),
		CRC32C:        fmt.Sprintf("%08x", reply.Sum),
	}
	if want := (receipt{uint64(d.options.Size), sum}); reply != want {
		return data, fmt.Errorf("sent %d bytes with CRC-32C %08x, %d bytes with %08x arrived", want.Bytes, want.Sum, reply.Bytes, reply.Sum)
	}
	return data, nil
}

// sendAll writes blocks that differ in their first eight bytes, and returns the
// checksum of all. It shows the progress.
func (d *demo) sendAll(c io.Writer, began time.Time) (sum uint32, err error) {
	bar := ui.NewProgress(d.p, d.options.Size, began)
	defer bar.End()
	block := make([]byte, transferBlock)
	rand.Read(block) // never fails, by its documentation
	for sent := ui.Size(0); sent < d.options.Size; {
		binary.BigEndian.PutUint64(block, uint64(sent))
		b := block[:min(transferBlock, d.options.Size-sent)]
		if _, err := c.Write(b); err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, b)
		sent += ui.Size(len(b))
		bar.At(sent, time.Now())
	}
	return sum, nil
}

// receipt is what the server received: the number of bytes and their CRC-32C.
type receipt struct {
	Bytes uint64
	Sum   uint32
}

// receive is the server's side. It accepts one connection, reads it to its end
// and sends the receipt. It ends early when ctx does.
func receive(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	stopConn := context.AfterFunc(ctx, func() { c.Close() })
	defer stopConn()
	var r receipt
	buf := make([]byte, transferBlock)
	for {
		n, err := c.Read(buf)
		r.Bytes += uint64(n)
		r.Sum = crc32.Update(r.Sum, castagnoli, buf[:n])
		if errors.Is(err, io.EOF) {
			return binary.Write(c, binary.BigEndian, r)
		}
		if err != nil {
			return err
		}
	}
}
