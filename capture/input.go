package capture

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/gopacket/gopacket/pcapgo"
)

const (
	// maxOther is how many bytes of a file may be something else than packets: gopacket's
	// reader keeps interfaces, names and secrets until the section ends.
	maxOther = 4 << 20
	// perPacket is how many bytes of a packet's block may be something else than the packet
	// before they count as such.
	perPacket = 4 << 10
)

var (
	sectionMagic = []byte("\n\r\r\n") // a section header block's type, the same in both byte orders
	gzipMagic    = []byte("\x1f\x8b") // RFC 1952 §2.3.1

	errTooMuch = errors.New("the file has more than 4 MiB that are no packets")
)

// input is a file that is read, uncompressed. It bounds what gopacket's reader can be
// made to keep.
type input struct {
	r     io.Reader
	buf   *bufio.Reader // of the input itself: what gopacket's reader reads
	n     int64         // bytes that buf has read
	from  int64         // where the packet that is read begins, with what is in front of it
	other int64         // bytes in front of from that were no packets'
}

// open returns the input of a file, which may be compressed, and a reader of it that has
// read what is in front of the first packet.
func open(r io.Reader) (*input, *pcapgo.NgReader, error) {
	file := bufio.NewReader(r)
	in := &input{r: file}
	if magic, _ := file.Peek(len(gzipMagic)); bytes.Equal(magic, gzipMagic) {
		z, err := gzip.NewReader(file)
		if err != nil {
			return nil, nil, err
		}
		in.r = z
	}
	in.buf = bufio.NewReaderSize(in, bufferLen)
	if magic, err := in.buf.Peek(len(sectionMagic)); !bytes.Equal(magic, sectionMagic) {
		if err != nil && err != io.EOF {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("it begins with %q", magic)
	}
	ng, err := pcapgo.NewNgReader(in.buf, pcapgo.NgReaderOptions{ErrorOnMismatchingLinkType: true})
	if err == io.EOF {
		err = errors.New("no interface is described")
	}
	return in, ng, err
}

// Read reads for buf.
func (in *input) Read(b []byte) (int, error) {
	left := in.from + maxOther + bufferLen - in.n
	if left <= 0 {
		return 0, errTooMuch
	}
	n, err := in.r.Read(b[:min(int64(len(b)), left)])
	in.n += int64(n)
	return n, err
}

// begin returns the offset at which the next packet begins, with what is in front of it.
func (in *input) begin() int64 {
	in.from = in.n - int64(in.buf.Buffered())
	return in.from
}

// end says that the packet was read, of which length bytes were recorded.
func (in *input) end(length int) error {
	read := in.n - int64(in.buf.Buffered()) - in.from
	in.other += max(read-int64(length)-perPacket, 0)
	if in.other > maxOther {
		return errTooMuch
	}
	return nil
}
