package ipproto_test

import (
	"fmt"
	"testing"

	"tstun/ipproto"
)

func TestTextRoundTrip(t *testing.T) {
	for i := range 256 {
		want := ipproto.Proto(i)
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got ipproto.Proto
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Errorf("UnmarshalText(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestUnmarshalText(t *testing.T) {
	tests := []struct {
		in      string
		want    ipproto.Proto
		wantErr bool
	}{
		{in: "TCP", want: ipproto.TCP},
		{in: "17", want: ipproto.UDP},
		{in: "proto-50", want: 50},
		{in: "256", wantErr: true},
		{in: "-1", wantErr: true},
		{in: "", wantErr: true},
		{in: "tcp ", wantErr: true},
	}
	for _, tt := range tests {
		var got ipproto.Proto
		err := got.UnmarshalText([]byte(tt.in))
		if (err != nil) != tt.wantErr || got != tt.want {
			t.Errorf("UnmarshalText(%q) = %v, %v; want %v, error %v", tt.in, got, err, tt.want, tt.wantErr)
		}
	}
}

func Example() {
	fmt.Println(ipproto.TCP, ipproto.TCP.HasPorts(), ipproto.Proto(50))
	// Output: tcp true proto-50
}
