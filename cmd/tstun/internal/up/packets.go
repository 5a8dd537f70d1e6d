package up

import (
	"tstun/capture"
	"tstun/tunnel"
)

// keepPackets has the latest packets of a tunnel kept, if the command line asks for it.
// stop lets them go.
func (r *runner) keepPackets(t *tunnel.Tunnel) (h *capture.History, stop func(), err error) {
	o := capture.HistoryOptions{Memory: r.options.PacketMemory, SnapLen: r.options.PacketLength}
	if o.Memory == 0 {
		return nil, func() {}, nil
	}
	if h, err = capture.NewHistory(o); err != nil {
		return nil, nil, err
	}
	end, err := t.Observe(h.Sink)
	if err != nil {
		h.Close()
		return nil, nil, err
	}
	return h, func() { end(); h.Close() }, nil
}
