package control

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"tstun/tunnel"
)

// appendFlow appends to b what json.Marshal returns of f, and allocates nothing: of 100,000
// flows that would be most of what telling of them costs.
func appendFlow(b []byte, f *tunnel.Flow) []byte {
	b = append(b, `{"kind":"`...)
	b = append(b, f.Kind...)
	b = appendTime(append(b, `","time":"`...), f.Time)
	if f.Proto != 0 {
		b = append(b, `,"proto":"`...)
		b = append(append(b, f.Proto.String()...), '"')
	}
	b = appendSide(append(b, `,"src":`...), f.Src)
	if f.Dst != (tunnel.FlowSide{}) {
		b = appendSide(append(b, `,"dst":`...), f.Dst)
	}
	b = appendFlag(b, `,"more":true`, f.More)
	b = append(b, `,"initiator":"`...)
	b = append(append(b, f.Initiator.String()...), '"')
	if raw := f.Peer.Raw32(); raw != [len(raw)]byte{} {
		b = base64.StdEncoding.AppendEncode(append(b, `,"peer":"`...), raw[:])
		b = append(b, '"')
	}
	b = appendText(b, `,"peerName":`, f.PeerName)
	b = appendTraffic(b, f.In, `,"in":{"packets":`)
	b = appendTraffic(b, f.Out, `,"out":{"packets":`)
	b = appendTime(append(b, `,"first":"`...), f.First)
	b = appendTime(append(b, `,"last":"`...), f.Last)
	if f.Phase != 0 {
		b = append(append(append(b, `,"phase":"`...), f.Phase.String()...), '"')
	}
	if f.End != 0 {
		b = append(append(append(b, `,"end":"`...), f.End.String()...), '"')
	}
	b = appendFlag(b, `,"revoked":true`, f.Revoked)
	b = appendPlace(b, f.Rule, `,"rule":`)
	if f.Reason != 0 {
		b = append(append(append(b, `,"reason":"`...), f.Reason.String()...), '"')
	}
	b = appendText(b, `,"nearest":`, f.Nearest)
	b = appendPlace(b, f.NearestRule, `,"nearestRule":`)
	for i, l := range f.Lacks {
		b = append(b, []string{`,"lacks":["`, `,"`}[min(i, 1)]...)
		b = append(append(b, l...), '"')
	}
	b = appendFlag(b, "]", len(f.Lacks) > 0)
	b = appendPlace(b, f.AllowedNow, `,"allowedNow":`)
	if f.Lost != 0 {
		b = strconv.AppendUint(append(b, `,"lost":`...), f.Lost, 10)
	}
	return append(b, '}')
}

func appendSide(b []byte, s tunnel.FlowSide) []byte {
	b = append(b, '{')
	if s.Addr.IsValid() {
		b = append(s.Addr.AppendTo(append(b, `"addr":"`...)), '"')
	}
	if s.Port != 0 {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = strconv.AppendUint(append(b, `"port":`...), uint64(s.Port), 10)
	}
	if s.Name != "" {
		name := `,"name":`
		if b[len(b)-1] == '{' {
			name = name[1:]
		}
		b = appendText(b, name, s.Name)
	}
	return append(b, '}')
}

// appendTraffic appends t behind a name and its first field's, if it is not zero.
func appendTraffic(b []byte, t tunnel.FlowTraffic, name string) []byte {
	if t == (tunnel.FlowTraffic{}) {
		return b
	}
	b = strconv.AppendUint(append(b, name...), t.Packets, 10)
	b = strconv.AppendUint(append(b, `,"bytes":`...), t.Bytes, 10)
	return append(b, '}')
}

// appendPlace appends r behind a name, if it is not nil.
func appendPlace(b []byte, r *tunnel.RulePlace, name string) []byte {
	if r == nil {
		return b
	}
	b = strconv.AppendInt(append(append(b, name...), `{"index":`...), int64(r.Index), 10)
	b = appendText(b, `,"file":`, r.File)
	if r.File == "" {
		b = append(b, `,"file":""`...)
	}
	b = strconv.AppendInt(append(b, `,"line":`...), int64(r.Line), 10)
	b = strconv.AppendInt(append(b, `,"column":`...), int64(r.Column), 10)
	return append(b, '}')
}

// appendTime appends the time and a quotation mark.
func appendTime(b []byte, t time.Time) []byte {
	return append(t.AppendFormat(b, time.RFC3339Nano), '"')
}

func appendFlag(b []byte, text string, is bool) []byte {
	if is {
		b = append(b, text...)
	}
	return b
}

// appendText appends a name and a text, if that is not empty.
func appendText(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	b = append(b, name...)
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(text) // of a string, it does not fail
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), text...), '"')
}
