package capture

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"tstun/packet"
)

// Recorded is a packet as a file has it.
type Recorded struct {
	Number  int       // in the file, from 1
	Time    time.Time // when it was recorded
	Inbound bool
	// Packet is what was recorded of it; its length was Length.
	Packet []byte
	Length int
	// Comment is the first of its comments that is a Note's, or "".
	Comment string
	// Note is the Comment, read. Without one it is the zero Note.
	Note Note
	// Lost is how many packets are missing in front of it.
	Lost uint64
}

// Reader reads the packets of a pcapng file, also while it is written: it waits for no
// more than the next packet. It takes what Replay takes. One goroutine at a time may use
// it. NewReader makes one.
type Reader struct {
	in     *input
	ng     *pcapgo.NgReader
	packet Recorded
	read   string // the comment that note is
	note   Note
	whole  whole
	parsed packet.Parsed
}

// NewReader reads what is in front of the first packet.
func NewReader(r io.Reader) (*Reader, error) {
	in, ng, err := open(r)
	if err != nil {
		return nil, fmt.Errorf("capture: this is no pcapng file of packets: %w", err)
	}
	switch link := ng.LinkType(); link {
	case layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
		return &Reader{in: in, ng: ng}, nil
	default:
		return nil, fmt.Errorf("capture: the file's link type is %v (%d): want raw IP (%d)", link, link, layers.LinkTypeRaw)
	}
}

// Next returns the next packet, which is valid until Next is called again, or io.EOF if
// there is none. Other errors name the packet.
func (r *Reader) Next() (*Recorded, error) {
	at := r.in.begin()
	r.packet.Number++
	data, info, options, err := r.ng.ZeroCopyReadPacketDataWithOptions()
	if err == io.EOF {
		return nil, io.EOF
	}
	if err == nil {
		err = r.in.end(len(data))
	}
	if err != nil {
		err = fmt.Errorf("in what begins at byte %d: %w", at, err)
	} else {
		err = r.set(data, &info, &options)
	}
	if err != nil {
		return nil, r.wrap(err)
	}
	return &r.packet, nil
}

// Parsed returns the packet that Next returned last, decoded, and valid as long. One that
// was cut has zeros for what is missing, so that its headers say the truth of its length.
func (r *Reader) Parsed() *packet.Parsed {
	r.parsed.Decode(r.whole.of(r.packet.Packet, r.packet.Length))
	return &r.parsed
}

// wrap names the packet in an error.
func (r *Reader) wrap(err error) error {
	return fmt.Errorf("capture: packet %d: %w", r.packet.Number, err)
}

// set makes packet the one that was read.
func (r *Reader) set(data []byte, info *gopacket.CaptureInfo, options *pcapgo.NgPacketOptions) error {
	p := &r.packet
	p.Time, p.Packet, p.Length, p.Lost = info.Timestamp, data, info.Length, 0
	if options.DropCount != nil {
		p.Lost = *options.DropCount
	}
	direction := pcapgo.NgEpbFlagDirectionUnknown
	if options.Flags != nil {
		direction = options.Flags.Direction
	}
	switch direction {
	case pcapgo.NgEpbFlagDirectionInbound:
		p.Inbound = true
	case pcapgo.NgEpbFlagDirectionOutbound:
		p.Inbound = false
	default:
		return errors.New("it has no direction, or both")
	}
	p.Comment, p.Note = "", Note{}
	for _, c := range options.Comments {
		if len(c) > len(verdictKey) && c[:len(verdictKey)] == verdictKey {
			p.Comment = c
			return r.readNote(c)
		}
	}
	return nil
}

// readNote makes packet's Note that of a comment. Most are that of the packet before.
func (r *Reader) readNote(comment string) (err error) {
	if comment != r.read {
		r.read = ""
		if r.note, err = parseNote(comment); err != nil {
			return err
		}
		r.read = comment
	}
	r.packet.Note = r.note
	return nil
}
