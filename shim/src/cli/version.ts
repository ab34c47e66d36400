/** The package's version, because images do not have package.json; a test compares the two. */
export const VERSION = "0.1.0";
