package signals

// PodLoads is how many requests each worker pod has, running and waiting in its
// engine, by the pod's UID, as the last collection saw it. A pod that gave no
// answer in it, or that says neither, is left out: a load that is not known is
// not a small one.
func (c *Collector) PodLoads() map[string]float64 {
	loads := map[string]float64{}
	for _, p := range c.pods {
		if !p.listed || !p.spoke || p.target.UID == "" || p.target.Kind != KindPrefill && p.target.Kind != KindDecode {
			continue
		}
		known, load := false, 0.0
		for _, what := range []quantity{requestsRunning, requestsWaiting} {
			for _, value := range p.gaugesOf(what) {
				known, load = true, load+value
			}
		}
		if known {
			loads[p.target.UID] += load
		}
	}
	return loads
}
