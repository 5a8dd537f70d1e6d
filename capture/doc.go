// Package capture records the packets of a tstun.Wrapper in pcapng, which Wireshark,
// tshark and tcpdump read, and plays such files back through a filter.
//
// New starts a capture, and Wrapper.SetCapture shows it each packet once, after its
// verdict: both ways, accepted, handled and dropped ones, and those that the program
// injected.
//
//	c, err := capture.New(file, capture.Options{})
//	...
//	w.SetCapture(c.Sink)
//	...
//	w.SetCapture(nil)
//	err = c.Close(ctx)
//
// # What is in the file
//
// One section, one interface of link type RAW: packets begin with the IP header. A
// packet has its time in nanoseconds, its direction (epb_flags), its length before it
// was cut to Options.SnapLen, and one comment, a Note: the verdict with its reason, and
// what else is known. Each packet is as the host sees it, before NAT outbound and after
// it inbound.
//
// # What is lost
//
// Packets wait for the writer in a ring of fixed size. What does not fit is lost to the
// capture, and never delayed: the next record says how many were lost before it
// (epb_dropcount), Stats says it for all, and so does the interface statistics block
// that Close writes.
package capture
