package main

import (
	"math"
	"slices"
	"strings"

	"tstun/bench/chart"
	"tstun/bench/packets"
	"tstun/bench/report"
	"tstun/bench/tunnel"
)

// picture chooses what of the report is drawn: of tunnels, what is better or
// worse than bare; of packets, the time above the device in the cases without
// variations.
func picture(r *report.Report) chart.Chart {
	c := chart.Chart{
		Title: "tstun and its peers, medians and ranges, " + r.Machine.System + ", " + r.Machine.Go,
		Kinds: []string{tunnel.Tstun, tunnel.Tailscale},
	}
	if slices.Contains(r.Kinds(report.Packet), packets.Direct) {
		c.Kinds = append(c.Kinds, packets.Direct)
	}
	if p := tunnelPanel(r); len(p.Groups) > 0 {
		c.Panels = append(c.Panels, p)
	}
	if p := packetPanel(r); len(p.Groups) > 0 {
		c.Panels = append(c.Panels, p)
	}
	return c
}

// tunnelPanel draws ratios to the bare tunnel.
func tunnelPanel(r *report.Report) chart.Panel {
	p := chart.Panel{
		Title: "Tunnel, relative to bare wireguard-go", Axis: "× bare; ↑ more is better, ↓ less is better",
		Baseline: 1, Base: "bare",
	}
	for _, measure := range r.Measures(report.Tunnel) {
		for _, quantity := range r.Quantities(report.Tunnel, measure) {
			g := chart.Group{}
			for _, kind := range []string{tunnel.Tstun, tunnel.Tailscale} {
				s := r.Find(report.Tunnel, measure, quantity, kind)
				q := report.Ratios(s, r.Find(report.Tunnel, measure, quantity, tunnel.Bare))
				if s == nil || s.Better == report.Neither || s.Unit == "%" || math.IsNaN(q.Median) {
					continue
				}
				g.Label = label(measure, quantity, s.Better)
				g.Bars = append(g.Bars, chart.Bar{Kind: kind, Value: q.Median, Min: q.Min, Max: q.Max})
			}
			if len(g.Bars) > 0 {
				p.Groups = append(p.Groups, g)
			}
		}
	}
	return p
}

func label(measure, quantity string, better report.Better) string {
	arrow := " ↑"
	if better == report.Less {
		arrow = " ↓"
	}
	switch quantity {
	case "received", "throughput":
		return measure + arrow
	case "processor time of both nodes":
		quantity = "CPU per GiB"
	}
	measure, _, _ = strings.Cut(measure, ", one at")
	return measure + ", " + quantity + arrow
}

// packetPanel draws nanoseconds.
func packetPanel(r *report.Report) chart.Panel {
	p := chart.Panel{
		Title: "One packet, through the wrapper alone: statistics on, one rule",
		Axis:  "ns per packet above the cost of the device; less is better",
	}
	for _, c := range packets.Matrix() {
		if !c.Statistics || c.Hook || c.Rules > 1 {
			continue
		}
		g := chart.Group{Label: c.String()}
		for _, kind := range []string{packets.Direct, packets.Tstun, packets.Tailscale} {
			if s := r.Find(report.Packet, c.String(), packets.Above, kind); s != nil {
				sum := report.Summarize(s.Rounds)
				g.Bars = append(g.Bars, chart.Bar{Kind: kind, Value: sum.Median, Min: sum.Min, Max: sum.Max})
			}
		}
		if len(g.Bars) > 0 {
			p.Groups = append(p.Groups, g)
		}
	}
	return p
}
