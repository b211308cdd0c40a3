// Package trace holds what arrives at a service: requests with their times and
// lengths, read from published trace files or drawn from a generator.
//
// It knows file formats, arrivals and lengths. It must never know what serves the
// requests, what a step costs, or what time it is: an arrival is an offset from
// the start of the trace.
//
// # Files
//
// Read tells these formats apart by their first line; gzip is undone wherever it
// is found. Columns are found by name, others are passed over.
//
//	plain     CSV   arrival_s,input,output[,cached]
//	azure     CSV   TIMESTAMP,ContextTokens,GeneratedTokens            Azure LLM inference traces 2023 and 2024
//	burstgpt  CSV   Timestamp,[...],Request tokens,Response tokens     BurstGPT, seconds
//	mooncake  JSONL timestamp (ms), input_length, output_length, hash_ids
//	servegen  CSV   t,rate,CV,pattern,shape,scale per client           rates instead of requests: OpenRates draws these
//
// A row that cannot be read is an error with file, line and reason; up to ten are
// told, and nothing of the file is used. Rows that are read but stand for no work
// (BurstGPT and Azure record failed requests with no output) are left out and
// counted in Notes. Times need not be in order; the first becomes zero.
//
// A hash id stands for 512 tokens of prompt and all before it (BlockTokens): two
// requests with equal ids share that prefix.
//
// # Changing a trace
//
// Scale changes the rate and keeps the hour: each request is there as many times
// as the factor says, a part of one by chance, and copies are moved by up to
// half a minute so that they do not arrive together. Copies share no prefix with
// their originals. Speed squeezes time instead. Cut, Splice, Merge and Repeat do
// what they say; Apart keeps the hash ids of two files from meaning the same.
// None changes the trace it is given.
//
// # Generators
//
// Generate draws arrivals from a renewal process in operational time (as package
// load does): the steps between two arrivals have mean 1, exponential, gamma or
// Weibull, and the time is found by inverting the integral of the rate, which is
// linear between points of a grid. A swing mixes two shapes of requests by a sine
// of its own, after the idea of Dynamo's sin_synth. Phases plays a load.Profile.
package trace
