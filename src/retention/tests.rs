mod copies;
mod imports;
mod items;
mod property;
mod rules;
mod timelines;
mod world;
