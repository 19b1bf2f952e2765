// work.mjs CONCURRENCY: works off what is there with graphile-worker, at the settings that its own
// benchmark has (local queue of 500, completions and failures in batches), and ends. PGDATABASE and its
// like say where; the schema is installed by the first call.

import { runOnce } from 'graphile-worker';
import { Logger } from '@graphile/logger';

const concurrentJobs = Number(process.argv[2]);
const quiet = new Logger(() => (level, message) => {
	if (level === 'error' || level === 'warning') console.error(message);
});

await runOnce({
	logger: quiet,
	preset: {
		worker: {
			connectionString: `postgres:///${process.env.PGDATABASE}?host=${process.env.PGHOST}&port=${process.env.PGPORT}&user=${process.env.PGUSER}`,
			concurrentJobs,
			maxPoolSize: concurrentJobs + 1,
			localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
			completeJobBatchDelay: 0,
			failJobBatchDelay: 0,
		},
	},
	taskList: { nothing: async () => {} },
});
