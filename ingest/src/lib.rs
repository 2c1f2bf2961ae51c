//! Sources to extracted text to chunks to vectors to writes: connectors, jobs, freshness.
