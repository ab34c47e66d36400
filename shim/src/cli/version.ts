/** The package's version; a test holds it to package.json, which does not travel into an image. */
export const VERSION = "0.1.0";
