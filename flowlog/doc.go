// Package flowlog keeps what happened to flows: a flight recorder of those that ended or
// were refused, in a fixed memory, and subscribers that are told as it happens.
//
//	log := flowlog.New(w, flowlog.Config{})
//	defer log.Close()
//	for r := range log.Since(time.Now().Add(-10 * time.Minute)) {
//		fmt.Println(r)
//	}
//
// All of it costs at the beginning and the end of a flow, and at the first packet that is
// refused: nothing for each packet, and nobody is held up by who reads.
package flowlog
