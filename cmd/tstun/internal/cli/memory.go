package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"tstun/capture"
	"tstun/cmd/tstun/internal/ui"
	"tstun/cmd/tstun/internal/up"
)

// addMemoryFlags adds the flags that say how much of the past a tunnel keeps.
func addMemoryFlags(cmd *cobra.Command, o *up.Options) {
	flags := cmd.Flags()
	flags.Var(&memory{value: &o.RecordMemory, off: -1, shown: "16 MiB"}, "record-memory", "remember flows that ended or were refused in `SIZE` of memory; off: no records")
	flags.Var(&memory{value: &o.PacketMemory, shown: "off"}, "packet-memory", "keep the latest packets, for capture --since, in `SIZE` of memory")
	flags.IntVar(&o.PacketLength, "packet-length", 0, fmt.Sprintf("keep so many `BYTES` of each of them (default %d)", capture.DefaultHistorySnapLen))
}

// minMemory and maxMemory bound what is kept: a history of packets has room for some of
// the longest, and a typing error takes no machine down.
const minMemory, maxMemory ui.Size = 1 << 20, 1 << 30

// memory is a flag whose value is a size, or off.
type memory struct {
	value *int   // in bytes
	off   int    // stands for off
	shown string // in the help, until it is set
}

// Set refuses what is neither off nor a size that can be.
func (m *memory) Set(text string) error {
	if text == "off" || text == "0" {
		*m.value, m.shown = m.off, "off"
		return nil
	}
	size, err := ui.ParseSize(text)
	if err == nil && (size < minMemory || size > maxMemory) {
		err = fmt.Errorf("want off, or %v to %v", minMemory, maxMemory)
	}
	if err != nil {
		return err
	}
	*m.value, m.shown = int(size), size.String()
	return nil
}

// String returns the value.
func (m *memory) String() string { return m.shown }

// Type is what help says of a value.
func (m *memory) Type() string { return "size" }
